"""transformers alone, the whole model in one process: ``python -m petals_side.transformers_client MODEL DTYPE``."""

from __future__ import annotations

import sys

from transformers import AutoModelForCausalLM

from petals_side.client_loop import answer, open_answers


def main(model: str, dtype: str) -> None:
    answers = open_answers()
    answer(AutoModelForCausalLM.from_pretrained(model, dtype=dtype), answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
