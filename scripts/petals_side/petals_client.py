"""A client process of Petals: ``python -m petals_side.petals_client MODEL DTYPE INITIAL_PEER``, in its environment."""

from __future__ import annotations

import sys

import torch

from petals_side.client_loop import answer, open_answers
from petals_side.petals_setup import DHT_PREFIX, prepare


def main(model: str, dtype: str, peer: str) -> None:
    answers = open_answers()
    prepare()
    from petals import AutoDistributedModelForCausalLM  # type: ignore[import-not-found]

    answer(
        AutoDistributedModelForCausalLM.from_pretrained(
            model, initial_peers=[peer], dht_prefix=DHT_PREFIX, torch_dtype=getattr(torch, dtype)
        ),
        answers,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
