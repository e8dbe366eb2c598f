"""A node's record and its model's card are published, renewed and taken back, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest
import trio
import trio.testing

from routing import Card
from routing.errors import PeerSilent, ProtocolError
from swarm_node.node.announcer import Announcer
from swarm_node.node.settings import CARD_LIFETIME_SECONDS, CARD_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS
from tests.routing.nodes import node

CARD = Card("gpt2", None, "f" * 32, 4, 64, 2048, "gpt2", "float32", 10**6)


@dataclass
class Board:
    """Stands in for directory and catalogue, and notes when what was published for how long."""

    refusals: list[Exception] = field(default_factory=list)
    published: list[tuple[float, float]] = field(default_factory=list)
    withdrawn: bool = False

    async def announce(self, what: Any, expires_in: float) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.published.append((trio.current_time(), expires_in))

    publish = announce

    async def withdraw(self) -> None:
        self.withdrawn = True


def announced(records: Board, cards: Board, seconds: float) -> None:
    """Run an announcer for so long, then withdraw."""

    async def main() -> None:
        announcer = Announcer(cast(Any, records), lambda: node("alice", 0, 4), cast(Any, cards), CARD)
        await announcer.publish()
        with trio.move_on_after(seconds):
            await announcer.run()
        await announcer.withdraw()

    run(main)


def run(main: Callable[[], Any]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_both_are_renewed_long_before_they_fade_and_withdrawn_in_the_end() -> None:
    records, cards = Board(), Board()
    announced(records, cards, 300)
    for board, lifetime, pace in (
        (records, RECORD_SECONDS, ANNOUNCE_SECONDS),
        (cards, CARD_LIFETIME_SECONDS, CARD_SECONDS),
    ):
        times = [at for at, expires_in in board.published if expires_in == lifetime]
        assert len(times) == len(board.published) > 5
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert max(gaps) < lifetime / 2
        assert min(gaps) >= pace - 1e-6
        assert board.withdrawn


def test_a_card_that_nobody_kept_is_tried_again_soon() -> None:
    records, cards = Board(), Board(refusals=[PeerSilent("no"), PeerSilent("no")])
    announced(records, cards, 2.5 * ANNOUNCE_SECONDS)
    assert [at for at, _ in cards.published] == pytest.approx([records.published[2][0]])


def test_a_card_that_breaks_a_bound_keeps_no_node_from_serving(caplog: pytest.LogCaptureFixture) -> None:
    records, cards = Board(), Board(refusals=[ProtocolError("bad record: blocks")])
    announced(records, cards, 2.5 * ANNOUNCE_SECONDS)
    assert len(records.published) == 3
    assert not cards.published
    assert "others cannot see what model this node serves: bad record: blocks" in caplog.text
