"""What ``generate``, ``chat`` and ``demo`` share: an answer through the swarm."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedTokenizerBase

from cli.sampling import Sampling
from cli.stderr import progress, tell
from routing import Hop
from swarm_node.generate import connect

if TYPE_CHECKING:
    from cli.screen import Screen
    from swarm_node.client import Bridge
    from swarm_node.generate import RemoteCache, SwarmModel
    from swarm_node.model import ModelSource


@dataclass(slots=True)
class Generated:
    """One answer and what it took."""

    prompt_tokens: int
    token_ids: list[int]
    text: str | None
    seconds: float
    first_token_seconds: float
    rounds: int
    """Round trips through the chain, that of the prompt among them."""
    route: tuple[Hop, ...] = field(default=())

    @property
    def tokens_per_second(self) -> float:
        """Of decoding: the tokens after the first, over the time they took."""
        decoding = self.seconds - self.first_token_seconds
        return (len(self.token_ids) - 1) / decoding if decoding > 0 and len(self.token_ids) > 1 else 0.0

    @property
    def tokens_per_round_trip(self) -> float:
        """More than 1 where guesses came true."""
        return len(self.token_ids) / self.rounds if self.rounds else 0.0


@contextmanager
def joined(
    source: ModelSource,
    peers: Sequence[str],
    dtype: str,
    timeout: float,
    wire_dtype: str = "auto",
    draft_model: str | None = None,
    device: str = "cpu",
    bridge: Bridge | None = None,
) -> Iterator[SwarmModel]:
    """The swarm's model, as long as the body runs; a person sees that it takes a moment, and what it waits for.

    ``bridge``: see joining_early().
    """
    with progress("joining the swarm …"):
        model = connect(
            source,
            peers,
            dtype=dtype,
            timeout=timeout,
            notice=tell,
            draft_model=draft_model,
            wire_dtype=wire_dtype,
            device=device,
            bridge=bridge,
        )
    with model:
        yield model


def run_generation(
    model: SwarmModel,
    prompt_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase | None,
    sampling: Sampling,
    screen: Screen,
    *,
    stop: Sequence[str] = (),
    ends: Sequence[int] = (),
    cache: RemoteCache | None = None,
) -> Generated:
    """Generate an answer on ``screen``: as it comes, or at the end where beams compete.

    ``stop``: the screen's, for beams. ``ends``: tokens that end an answer, if others than the model's configuration
    says.
    """
    arguments = sampling.arguments()
    if sampling.ignore_eos:
        model.generation_config.eos_token_id = None
    elif ends:
        arguments["eos_token_id"] = list(ends)
    streams = (sampling.num_beams or 1) == 1
    if streams:
        arguments["stopping_criteria"] = [screen]
    elif stop:
        arguments |= {"stop_strings": list(stop), "tokenizer": tokenizer}
    if cache is not None:
        arguments["past_key_values"] = cache
    inputs = torch.tensor([list(prompt_ids)], device=model.device)
    try:
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            pad_token_id=_pad_token(model, tokenizer),
            **arguments,
        )
    except BaseException:
        screen.break_off()
        raise
    if not streams:
        for token in output[0, len(prompt_ids) :].tolist():
            screen.push(token)
    screen.end()
    finished = time.perf_counter()
    return Generated(
        prompt_tokens=len(prompt_ids),
        token_ids=screen.token_ids,
        text=screen.text,
        seconds=finished - screen.started,
        first_token_seconds=((screen.first if streams else None) or finished) - screen.started,
        rounds=model.rounds(),
        route=model.route(),
    )


def _pad_token(model: SwarmModel, tokenizer: PreTrainedTokenizerBase | None) -> int:
    """Any token: a single sequence is never padded, but generate asks."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id if tokenizer is not None else None)
    return next((token for token in known if token is not None), 0)
