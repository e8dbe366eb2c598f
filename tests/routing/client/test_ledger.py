"""What a client knows better than the records."""

from __future__ import annotations

from routing import NodeView, Snapshot
from routing.client.ledger import Ledger
from tests.routing.nodes import node

LIFE = 20.0
NOW = 1_000_000.0


def record(free: int, made_at: float = NOW, name: str = "a") -> NodeView:
    """A node with room for 100 block-tokens that has said at ``made_at`` that ``free`` are free."""
    return node(name, 0, 4, cache_tokens=100, free_tokens=free, expires_at=made_at + LIFE)


def free_in(ledger: Ledger, view: NodeView, taken_at: float = NOW + 5) -> int:
    (adjusted,) = ledger.adjusted(Snapshot("model", (view,), taken_at)).nodes
    return adjusted.free_tokens


def reserve(ledger: Ledger, tokens: int, at: float, name: str = "a") -> None:
    ledger.opening(name, tokens)
    ledger.opened(name, tokens, at)


def test_what_is_being_asked_for_is_in_no_record_yet() -> None:
    ledger = Ledger(LIFE)
    ledger.opening("a", 60)
    ledger.opening("a", 20)
    assert free_in(ledger, record(100, made_at=NOW + 4)) == 20
    ledger.refused("a", 60)
    assert free_in(ledger, record(100, made_at=NOW + 4)) == 80
    ledger.opened("a", 20, NOW + 3)
    assert free_in(ledger, record(80, made_at=NOW + 4)) == 80


def test_a_session_of_this_client_counts_until_the_record_knows_of_it() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW + 1)
    assert free_in(ledger, record(100)) == 40
    assert free_in(ledger, record(40, made_at=NOW + 2)) == 40
    assert free_in(ledger, record(100, name="b")) == 100


def test_what_a_session_gives_back_counts_until_the_record_knows_of_it() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW - 1)
    ledger.released("a", 60, NOW + 1)
    assert free_in(ledger, record(40)) == 100
    assert free_in(ledger, record(100, made_at=NOW + 2)) == 100


def test_a_session_that_came_and_went_since_the_record_changes_nothing() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW + 1)
    ledger.released("a", 60, NOW + 2)
    assert free_in(ledger, record(70)) == 70


def test_what_a_node_told_when_it_refused_counts_until_it_tells_something_newer() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW + 1)
    ledger.told("a", 10, NOW + 2)
    assert free_in(ledger, record(100)) == 10
    ledger.released("a", 60, NOW + 3)
    assert free_in(ledger, record(100)) == 70
    assert free_in(ledger, record(90, made_at=NOW + 4)) == 90


def test_free_cache_stays_within_what_there_is() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW + 1)
    assert free_in(ledger, record(10)) == 0
    ledger.released("a", 90, NOW + 2)
    assert free_in(ledger, record(80)) == 100


def test_the_book_forgets_what_every_live_record_knows() -> None:
    ledger = Ledger(LIFE)
    reserve(ledger, 60, NOW, "gone")
    ledger.told("gone too", 0, NOW)
    reserve(ledger, 10, NOW + LIFE)
    assert free_in(ledger, record(100, made_at=NOW + LIFE), taken_at=NOW + LIFE) == 100
    assert set(ledger._changes) == {"a"} and not ledger._told
