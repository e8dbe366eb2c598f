"""Tries every model type of transformers that goes on with a text, and writes docs/models.md of it."""
