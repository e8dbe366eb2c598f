"""transformers alone, the whole model in one process: ``python -m petals_side.plain_client MODEL``."""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM

from petals_side.answering import answer, open_answers


def main(model: str) -> None:
    answers = open_answers()
    answer(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
