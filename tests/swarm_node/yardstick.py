"""What transformers itself writes, for tests of blocks that are to write the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText


def transformers_says(
    directory: Path, prompts: Sequence[list[int]], new_tokens: int
) -> list[tuple[list[int], torch.Tensor]]:
    """For each prompt, the tokens that transformers' greedy generate() makes of it, and the logits of the new ones."""
    also_sees = "vision_config" in json.loads((directory / "config.json").read_text())
    auto = AutoModelForImageTextToText if also_sees else AutoModelForCausalLM
    model = auto.from_pretrained(directory, dtype=torch.float32)
    results = []
    for tokens in prompts:
        made = model.generate(
            torch.tensor([tokens]),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long),  # else it takes token 0 for padding
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        results.append((made.sequences[0].tolist(), torch.cat(made.logits)))
    return results
