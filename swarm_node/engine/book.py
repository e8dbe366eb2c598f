"""How much of a node's cache is whose: what sessions have reserved, and what is kept in the room they leave."""

from __future__ import annotations

import time
from dataclasses import replace

from routing.errors import CacheFull
from routing.span import Span
from swarm_node.engine.kept_prefixes import KeptPrefix, KeptPrefixes
from swarm_node.engine.reservation import Reservation
from swarm_node.wire import Beginning


class CacheBook:
    """One engine's; the engine's lock guards it.

    What is kept counts as free, since it gives way to every reservation. A session that borrows some of it holds that
    memory until its first step has made a copy, even if it is dropped here, and is charged for it meanwhile.
    """

    def __init__(self, capacity_tokens: int) -> None:
        self.capacity_tokens = capacity_tokens
        """Block-tokens of cache in all."""
        self._reserved = 0
        self._kept = KeptPrefixes()

    @property
    def free_tokens(self) -> int:
        """Block-tokens that no session holds; less than 0 while sessions hold more than there is."""
        return self.capacity_tokens - self._reserved

    @property
    def kept_tokens(self) -> int:
        """Those of them in which beginnings are kept."""
        return self._kept.block_tokens

    def admit(self, reservation: Reservation, most: int | None) -> None:
        """Give the session its room, and what is kept of its beginning if that costs no more than ``most`` for now.

        Raises CacheFull if there is no room.
        """
        needed, free = reservation.block_tokens, self.free_tokens
        if needed > free:
            raise CacheFull(
                f"the cache has room for {max(0, free)} block-tokens and the session needs {needed}; "
                "wait for a session to end, or ask for fewer tokens",
                max(0, free),
            )
        reservation.charged = needed
        if reservation.cache.reusable:
            self._lend(reservation, free if most is None else min(most, free))
        self._reserved += reservation.charged
        self._kept.shrink(self.free_tokens)

    def ran(self, reservation: Reservation) -> None:
        """One of its steps was in a batch. In the engine's thread only."""
        if reservation.charged > reservation.block_tokens and not reservation.cache.borrows:
            self._reserved -= reservation.charged - reservation.block_tokens
            reservation.charged = reservation.block_tokens
        said = reservation.beginning
        if said.keys and reservation.cache.length >= said.tokens:
            reservation.beginning = replace(said, keys=b"")
            self._keep(reservation, said)

    def leave(self, reservation: Reservation, keys: bytes) -> None:
        """Take the session's room back, and keep the beginning that ``keys`` name."""
        self._reserved -= reservation.charged
        self._keep(reservation, replace(reservation.beginning, keys=keys))
        reservation.cache.free()

    def resize(self, capacity_tokens: int) -> None:
        """Have so much from now on."""
        self.capacity_tokens = capacity_tokens
        self._kept.shrink(self.free_tokens)

    def host(self, span: Span) -> None:
        """Keep nothing of blocks beyond ``span``."""
        self._kept.host(span)

    def forget(self) -> float | None:
        """Drop what nobody has used for long; returns the seconds until something else is due, None if nothing is."""
        return self._kept.forget(time.monotonic())

    def _lend(self, reservation: Reservation, most: int) -> None:
        found = self._kept.find(reservation.beginning, reservation.span, time.monotonic())
        if found is None or found[0].block_tokens > most:
            return
        kept, tokens = found
        tokens = min(tokens, reservation.max_tokens)
        reservation.cache.borrow(kept.layers_of(reservation.span), tokens)
        reservation.held_tokens = tokens
        reservation.charged = max(reservation.charged, kept.block_tokens)

    def _keep(self, reservation: Reservation, beginning: Beginning) -> None:
        cache = reservation.cache
        beginning = beginning.first(cache.length)
        if not cache.reusable or not beginning.keys:
            return
        now = time.monotonic()
        held = self._kept.find(beginning, reservation.span, now)
        if held is None or held[1] < beginning.tokens:
            layers = cache.lend(beginning.tokens)
            self._kept.add(KeptPrefix(beginning, reservation.span, layers, now), self.free_tokens)
