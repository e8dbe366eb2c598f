"""Which chains have lately served which beginnings: one client's memory of where its prompts need not be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from routing import Hop
from routing.client.reuse import Served
from swarm_node.client.settings import SERVED_REMEMBERED
from swarm_node.settings import PREFIX_IDLE_SECONDS
from swarm_node.wire import common_tokens, tokens_of


@dataclass(frozen=True, slots=True)
class _Memory:
    keys: bytes
    hops: tuple[Hop, ...]
    at: float

    @property
    def way(self) -> tuple[tuple[str, int], ...]:
        return tuple((hop.node.peer_id, hop.span.start) for hop in self.hops)


class ServedPrefixes:
    """The last SERVED_REMEMBERED of them, for as long as nodes keep what nobody uses. Owned by the client's router.

    Times are seconds on a clock that only grows.
    """

    def __init__(self) -> None:
        self._memories: list[_Memory] = []
        """The oldest first."""

    def remember(self, keys: bytes, hops: Sequence[Hop], now: float) -> None:
        """A chain holds the beginning that ``keys`` name, and so all that they continue."""
        if not keys:
            return
        new = _Memory(keys, tuple(hops), now)
        self._memories = [old for old in self._memories if not _continues(new, old)]
        self._memories.append(new)
        del self._memories[:-SERVED_REMEMBERED]

    def find(self, keys: bytes, now: float) -> list[Served]:
        """The chains that should hold a part of the beginning that ``keys`` name, each with the most that it holds."""
        self._memories = [memory for memory in self._memories if memory.at + PREFIX_IDLE_SECONDS > now]
        found: dict[tuple[tuple[str, int], ...], Served] = {}
        for memory in self._memories:
            tokens = common_tokens(memory.keys, keys)
            if tokens and (memory.way not in found or found[memory.way].tokens < tokens):
                found[memory.way] = Served(memory.hops, tokens)
        return list(found.values())


def _continues(new: _Memory, old: _Memory) -> bool:
    return new.way == old.way and common_tokens(new.keys, old.keys) == tokens_of(old.keys)
