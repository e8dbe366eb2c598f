"""Beginnings of sessions, kept for those that begin the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.span import Span
from swarm_node.compute import Layers, block_tokens_of, layers_of
from swarm_node.engine.settings import PREFIXES_MAX
from swarm_node.settings import PREFIX_IDLE_SECONDS
from swarm_node.wire import Beginning


@dataclass(eq=False, slots=True)
class KeptPrefix:
    """The keys and values of ``beginning`` in the blocks of ``span``; nobody writes to them any more."""

    beginning: Beginning
    span: Span
    layers: Layers
    used_at: float
    """Seconds on a clock that only grows."""
    block_tokens: int = field(init=False)
    """What they take of the cache."""

    def __post_init__(self) -> None:
        self.block_tokens = block_tokens_of(self.layers)

    def layers_of(self, span: Span) -> Layers:
        """Those of ``span``."""
        return layers_of(self.layers, span)


class KeptPrefixes:
    """All that one engine keeps, of at most PREFIXES_MAX sessions; the least recently used goes first.

    Owned by the engine's cache book. What a session has borrowed lives on with it when it is dropped here.
    """

    def __init__(self) -> None:
        self._kept: list[KeptPrefix] = []
        """The least recently used first."""

    @property
    def block_tokens(self) -> int:
        """What they take of the cache."""
        return sum(kept.block_tokens for kept in self._kept)

    def find(self, beginning: Beginning, span: Span, now: float) -> tuple[KeptPrefix, int] | None:
        """That of which a session on the blocks of ``span`` can use most, and how many tokens those are."""
        if not beginning.keys:
            return None
        fitting = [(kept.beginning.common(beginning), kept) for kept in self._kept if kept.span.covers(span)]
        tokens, found = max(fitting, key=lambda one: (one[0], -one[1].block_tokens), default=(0, None))
        if found is None or not tokens:
            return None
        self._kept.remove(found)
        self._kept.append(found)
        found.used_at = now
        return found, tokens

    def add(self, new: KeptPrefix, room: int) -> None:
        """Keep ``new`` instead of what it continues, and of the rest what fits beside it into ``room`` block-tokens.

        It is not kept if it does not fit alone.
        """
        if new.block_tokens > room:
            return
        self._kept = [kept for kept in self._kept if not _continues(new, kept)]
        self.shrink(room - new.block_tokens)
        self._kept.append(new)
        del self._kept[:-PREFIXES_MAX]

    def shrink(self, room: int) -> None:
        """Drop the least recently used until the rest fits into ``room`` block-tokens."""
        taken = self.block_tokens
        while self._kept and taken > room:
            taken -= self._kept.pop(0).block_tokens

    def host(self, span: Span) -> None:
        """Drop what belongs to blocks beyond ``span``."""
        self._kept = [kept for kept in self._kept if span.covers(kept.span)]

    def forget(self, now: float) -> float | None:
        """Drop what nobody has used for PREFIX_IDLE_SECONDS; returns the seconds until the next is due, if any."""
        while self._kept and self._kept[0].used_at + PREFIX_IDLE_SECONDS <= now:
            self._kept.pop(0)
        return self._kept[0].used_at + PREFIX_IDLE_SECONDS - now if self._kept else None


def _continues(new: KeptPrefix, old: KeptPrefix) -> bool:
    """Whether ``new`` serves every session that ``old`` would serve."""
    return new.span.covers(old.span) and new.beginning.common(old.beginning) == old.beginning.tokens
