"""The evaluation of arXiv 2604.14993, section 5: one module for each of its figures, and what they share.

Every figure module has ``make(study)``, which simulates, writes a PNG and a CSV, and answers with an Outcome.
"""
