"""Whose turn it is at one node."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.node.line import WaitingLine
from routing.settings import LINE_AGE_SECONDS, OFFER_SECONDS

NOW = 1_000_000.0


def line_of(*needs: int) -> WaitingLine[int]:
    """Sessions 0, 1, 2 … that came one second after the other, with these needs."""
    line: WaitingLine[int] = WaitingLine()
    for key, need in enumerate(needs):
        line.join(key, NOW + key, need, NOW + key)
    return line


def test_room_goes_to_those_who_have_waited_longest() -> None:
    line = line_of(10, 10, 10)
    assert line.offers(free=20, now=NOW + 3) == [0, 1]
    assert line.offers(free=20, now=NOW + 3) == []


def test_who_began_to_wait_elsewhere_earlier_is_before_those_who_came_here_earlier() -> None:
    line = line_of(10, 10)
    assert line.join(9, NOW - 5, 10, NOW + 2) == 0
    assert line.join(8, NOW + 0.5, 10, NOW + 2) == 2
    assert line.offers(free=30, now=NOW + 3) == [9, 0, 8]


def test_nobody_gains_by_saying_that_it_has_waited_for_ever() -> None:
    line: WaitingLine[str] = WaitingLine()
    line.join("patient", NOW - LINE_AGE_SECONDS - 1, 10, NOW - 1)
    assert line.join("liar", 0.0, 10, NOW) == 1


def test_a_large_session_is_not_passed_over_by_small_ones() -> None:
    line = line_of(100, 10)
    assert line.offers(free=50, now=NOW + 2) == []
    assert not line.may_enter(1, 10, free=50)
    assert not line.may_enter(None, 10, free=50)
    assert line.free_for_newcomers(50) == 0


def test_room_that_is_set_aside_is_for_nobody_else() -> None:
    line = line_of(30)
    line.offers(free=50, now=NOW + 1)
    assert line.may_enter(0, 30, free=50)
    assert line.free_for_newcomers(50) == 20
    assert line.may_enter(None, 20, free=50)
    assert not line.may_enter(None, 21, free=50)


def test_a_session_larger_than_its_ticket_enters_only_if_the_rest_is_free_too() -> None:
    line = line_of(30, 10)
    line.offers(free=50, now=NOW + 1)
    assert line.may_enter(0, 40, free=50)
    assert not line.may_enter(0, 41, free=50)


def test_an_offer_that_is_not_taken_goes_to_the_next_and_comes_again_when_more_is_freed() -> None:
    line = line_of(10, 10)
    assert line.offers(free=10, now=NOW + 1) == [0]
    until = line.offered_until(0)
    assert until == line.next_lapse() == NOW + 1 + OFFER_SECONDS
    assert line.offers(free=10, now=until - 0.001) == []
    assert line.offers(free=10, now=until) == [1]
    line.freed()
    assert line.offers(free=20, now=until) == [0]


def test_who_stood_aside_may_still_enter_when_nobody_else_wants_the_room() -> None:
    line = line_of(10)
    line.offers(free=10, now=NOW)
    assert line.offers(free=10, now=NOW + OFFER_SECONDS) == []
    assert line.may_enter(0, 10, free=10)
    assert line.may_enter(None, 10, free=10)


def test_who_leaves_gives_its_offer_to_the_next() -> None:
    line = line_of(10, 10)
    line.offers(free=10, now=NOW)
    line.leave(0)
    assert line.offers(free=10, now=NOW) == [1]
    line.leave(0)
    assert len(line) == 1


def test_who_comes_late_but_has_waited_longer_gets_what_was_set_aside_for_others() -> None:
    line = line_of(10, 10)
    assert line.offers(free=25, now=NOW + 2) == [0, 1]
    line.join(9, NOW - 5, 10, NOW + 2)
    assert line.offers(free=25, now=NOW + 2) == [9]
    assert line.offered_until(1) is None
    assert line.may_enter(0, 10, free=25)
    assert not line.may_enter(1, 10, free=25)
    line.leave(9)
    assert line.offers(free=25, now=NOW + 2) == [1]


def test_nothing_is_taken_back_for_a_session_that_would_not_fit_even_so() -> None:
    line = line_of(10)
    line.offers(free=15, now=NOW)
    line.join(9, NOW - 5, 20, NOW)
    assert line.offers(free=15, now=NOW) == []
    assert line.may_enter(0, 10, free=15)


class Node:
    """A node's cache and line, and what must always hold of them."""

    def __init__(self, capacity: int) -> None:
        self.free = self.capacity = capacity
        self.line: WaitingLine[int] = WaitingLine()
        self.now = NOW
        self.needs: dict[int, int] = {}
        self.order: dict[int, tuple[float, int]] = {}
        self.running: dict[int, int] = {}
        self.offered: dict[int, float] = {}
        self.aside: set[int] = set()
        self.served: list[int] = []
        self.keys = 0

    def join(self, need: int, age: float) -> None:
        self.keys += 1
        self.needs[self.keys] = need
        self.order[self.keys] = (self.now - age, self.keys)
        ahead = self.line.join(self.keys, self.now - age, need, self.now)
        assert ahead == sum(order < self.order[self.keys] for order in self.order.values())
        self.look()

    def look(self) -> None:
        self.aside |= {key for key, until in self.offered.items() if until <= self.now}
        told = self.line.offers(self.free, self.now)
        assert not self.aside & set(told)
        self.offered = {key: until for key in self.needs if (until := self.line.offered_until(key)) is not None}
        assert set(told) <= self.offered.keys()
        assert self.set_aside(self.offered) <= self.free, "more was offered than is free"
        for key in self.needs.keys() - self.offered.keys() - self.aside:
            before = [other for other in self.offered if self.order[other] < self.order[key]]
            first = all(self.order[key] <= self.order[other] for other in self.waiting())
            assert not first or self.needs[key] > self.free - self.set_aside(before), "there was room for the first"
        for key in told:
            assert all(self.order[key] < self.order[other] for other in self.waiting()), "somebody was passed over"

    def waiting(self) -> set[int]:
        """Who has no offer and did not let one lapse."""
        return self.needs.keys() - self.offered.keys() - self.aside

    def set_aside(self, keys: Iterable[int]) -> int:
        return sum(self.needs[key] for key in keys)

    def enter(self, key: int) -> None:
        """A session in line opens; those with an offer must get in."""
        may = self.line.may_enter(key, self.needs[key], self.free)
        assert may or key not in self.offered
        if may:
            self.admit(key, self.needs[key])
            self.leave(key)

    def newcomer(self, need: int) -> None:
        may = self.line.may_enter(None, need, self.free)
        assert may == (need <= self.line.free_for_newcomers(self.free))
        if may:
            assert not self.waiting(), "a newcomer has overtaken somebody"
            self.keys += 1
            self.admit(self.keys, need)
            self.look()

    def admit(self, key: int, need: int) -> None:
        self.running[key] = need
        self.free -= need
        self.served.append(key)
        assert self.free >= sum(need for other, need in self.needs.items() if other in self.offered and other != key)

    def end(self, key: int) -> None:
        self.free += self.running.pop(key)
        self.line.freed()
        self.aside.clear()
        self.look()

    def leave(self, key: int) -> None:
        self.line.leave(key)
        del self.needs[key], self.order[key]
        self.offered.pop(key, None)
        self.aside.discard(key)
        self.look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()


@given(st.integers(0, 2**32), st.integers(10, 60))
def test_whatever_happens_no_more_is_promised_than_is_free_and_nobody_is_passed_over(seed: int, capacity: int) -> None:
    draw = random.Random(seed)
    node = Node(capacity)
    for _ in range(40):
        match draw.randrange(7):
            case 0 | 1:
                node.join(draw.randint(1, capacity), draw.choice((0.0, 0.0, draw.uniform(0, 20))))
            case 2 if node.needs:
                node.enter(draw.choice(sorted(node.needs)))
            case 3 if node.running:
                node.end(draw.choice(sorted(node.running)))
            case 4 if node.needs:
                node.leave(draw.choice(sorted(node.needs)))
            case 5:
                node.newcomer(draw.randint(1, capacity))
            case 6:
                node.wait(draw.choice((0.1, OFFER_SECONDS / 2, OFFER_SECONDS)))


@given(st.integers(0, 2**32))
def test_nobody_starves_while_sessions_end(seed: int) -> None:
    draw = random.Random(seed)
    node = Node(40)
    for _ in range(15):
        node.join(draw.randint(1, 40), 0.0)
    waiting = set(node.needs)
    # New sessions keep coming, as many as end; some sessions let their first offer lapse.
    for _ in range(200):
        for key in sorted(node.offered):
            if draw.random() < 0.8:
                node.enter(key)
        if node.running:
            node.end(min(node.running))
        if draw.random() < 0.5:
            node.join(draw.randint(1, 40), 0.0)
        node.wait(draw.choice((0.1, OFFER_SECONDS)))
        if not waiting & node.needs.keys():
            return
    pytest.fail("the first sessions wait still")
