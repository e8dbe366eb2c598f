"""A chain of block spans in this process, with a client's model before and after it: no network, no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch

from routing.span import Span
from swarm_node.compute import BlockSpan, CachePath, Row, SequenceCache, load_span
from swarm_node.model import ModelSource, accepted, load_ends, remote_blocks


def prompt(length: int, vocabulary: int = 128) -> list[int]:
    """Seeded random token ids."""
    return torch.randint(0, vocabulary, (length,), generator=torch.Generator().manual_seed(length)).tolist()


def three_spans(blocks: int) -> list[Span]:
    """Fewer where there are fewer blocks."""
    cuts = (0, blocks // 3, 2 * blocks // 3, blocks)
    return [Span(start, end) for start, end in pairwise(cuts) if start < end]


@dataclass
class Talk:
    """One session: its tokens, how many of them the chain has seen, and its cache on each span."""

    tokens: list[int]
    caches: list[SequenceCache]
    seen: int = 0
    logits: list[torch.Tensor] = field(default_factory=list)

    def roll_back(self, length: int) -> None:
        self.seen = length
        for cache in self.caches:
            cache.roll_back(length)


class LocalChain:
    """Three spans on ``device``, and both ends of a model on the CPU."""

    def __init__(self, directory: Path, path: CachePath | None = None, device: str = "cpu") -> None:
        source = ModelSource.open(str(directory))
        self.spans: list[BlockSpan] = [
            load_span(source, span, dtype=torch.float32, device=device, path=path)
            for span in three_spans(source.blocks)
        ]
        self.ends = load_ends(source, dtype=torch.float32)

    def open(self, tokens: Sequence[int], max_tokens: int = 64) -> Talk:
        return Talk(list(tokens), [span.new_cache(max_tokens) for span in self.spans])

    @torch.inference_mode()
    def feed(self, shares: Sequence[tuple[Talk, int]]) -> list[torch.Tensor]:
        """Run so many tokens of each talk in one flattened batch; returns the logits after each one's last token."""
        ids: list[int] = []
        positions: list[int] = []
        for talk, tokens in shares:
            ids += talk.tokens[talk.seen : talk.seen + tokens]
            positions += range(talk.seen, talk.seen + tokens)

        def through_all(hidden: torch.Tensor) -> torch.Tensor:
            for index, span in enumerate(self.spans):
                rows = [Row(talk.caches[index], tokens, len(talk.tokens)) for talk, tokens in shares]
                hidden = span.step(rows, hidden[0])[None]
            return hidden.cpu()

        remote_blocks(self.ends).forward_blocks = through_all
        place = accepted(self.ends.forward, position_ids=torch.tensor([positions]))
        logits = self.ends(input_ids=torch.tensor([ids]), use_cache=False, **place).logits[0]
        for talk, tokens in shares:
            talk.seen += tokens
        ends = torch.tensor([tokens for _talk, tokens in shares]).cumsum(0) - 1
        return list(logits[ends])

    def generate(self, talks: Sequence[Talk], new_tokens: int, chunk: int) -> None:
        """Greedy decoding of all talks together: prompts in chunks beside the decodes of those that are further."""
        goals = {id(talk): len(talk.tokens) + new_tokens for talk in talks}
        while busy := [talk for talk in talks if len(talk.tokens) < goals[id(talk)]]:
            shares = [(talk, min(chunk, len(talk.tokens) - talk.seen)) for talk in busy]
            for talk, logits in zip(busy, self.feed(shares), strict=True):
                if talk.seen == len(talk.tokens):
                    talk.tokens.append(int(logits.argmax()))
                    talk.logits.append(logits)
