"""A client process of this project: ``python -m petals_side.swarm_client MODEL DTYPE INITIAL_PEER``."""

from __future__ import annotations

import sys

from petals_side.client_loop import answer, open_answers
from swarm_node import AutoSwarmModelForCausalLM


def main(model: str, dtype: str, peer: str) -> None:
    answers = open_answers()
    # One token a round trip, as on the other side.
    with AutoSwarmModelForCausalLM.from_pretrained(model, initial_peers=[peer], dtype=dtype, speculate=False) as swarm:
        answer(swarm, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
