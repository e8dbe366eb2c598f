"""Keys and values of one session, and what several sessions have in common of them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from routing.span import Span
from swarm_node.compute.cache import Layers, SequenceCache, block_tokens_of

ROOM = 400
BLOCKS = (3, 4)
SPAN = Span(3, 5)


def states(tokens: list[int], block: int) -> torch.Tensor:
    """Keys [1 head, tokens, 1]: each token's own number in each block."""
    return torch.tensor([[[float(token * 10 + block)] for token in tokens]]).reshape(1, len(tokens), 1)


def read(layers: Layers) -> list[int]:
    """The tokens whose keys and values these are."""
    tokens = ((layers[BLOCKS[0]][0][0, :, 0] - BLOCKS[0]) / 10).int().tolist()
    for block, (keys, values) in layers.items():
        assert torch.equal(keys, states(tokens, block))
        assert torch.equal(values, -states(tokens, block))
    return tokens


@dataclass
class Told:
    """A session's cache, and the tokens that it should hold."""

    cache: SequenceCache = field(default_factory=lambda: SequenceCache(ROOM))
    tokens: list[int] = field(default_factory=list)

    def write(self, tokens: list[int], fails: bool = False) -> None:
        """A step; one that fails does so after its first block."""
        for block in BLOCKS[:1] if fails else BLOCKS:
            keys, values = self.cache.write(block, states(tokens, block), -states(tokens, block))
            assert torch.equal(keys, states(self.tokens + tokens, block))
            assert torch.equal(values, -states(self.tokens + tokens, block))
        if not fails:
            self.cache.advance(len(tokens))
            self.tokens += tokens

    def write_in_place(self, tokens: list[int]) -> None:
        """A step by blocks that write where the cache says."""
        places = self.cache.places(SPAN, len(tokens)).reshape(len(BLOCKS), 3)
        for block, (keys, values, room) in zip(BLOCKS, places.tolist(), strict=True):
            for address, sign in ((keys, 1), (values, -1)):
                held = (ctypes.c_float * room).from_address(address)
                held[len(self.tokens) : len(self.tokens) + len(tokens)] = (
                    (sign * states(tokens, block)).flatten().tolist()
                )
        self.cache.advance(len(tokens))
        self.tokens += tokens

    def roll_back(self, length: int) -> None:
        self.cache.roll_back(length)
        del self.tokens[length:]


share = st.floats(0, 1)
steps = st.one_of(
    st.tuples(st.just("write"), share, st.integers(1, 90)),
    st.tuples(st.just("write in place"), share, st.integers(1, 90)),
    st.tuples(st.just("fail"), share, st.integers(1, 90)),
    st.tuples(st.just("roll back"), share, share),
    st.tuples(st.just("lend"), share, share),
    st.tuples(st.just("borrow"), share, share),
)


@given(st.lists(steps, max_size=40))
def test_what_one_session_writes_never_changes_what_another_reads(steps: list[tuple[str, float, float]]) -> None:
    sessions = [Told()]
    lent: list[tuple[Layers, list[int]]] = []
    number = 0
    for kind, which, amount in steps:
        session = sessions[int(which * (len(sessions) - 1))]
        if kind in ("write", "write in place", "fail"):
            count = min(int(amount), ROOM - len(session.tokens))
            new = list(range(number, number + count))
            number += count
            if new and kind == "write in place" and session.cache.holds(SPAN):
                session.write_in_place(new)
            elif new:
                session.write(new, fails=kind == "fail")
        elif kind == "roll back":
            session.roll_back(int(amount * len(session.tokens)))
        elif kind == "lend" and session.tokens:
            count = int(amount * len(session.tokens))
            lent.append((session.cache.lend(count), session.tokens[:count]))
        elif kind == "borrow" and lent:
            layers, tokens = lent[int(which * (len(lent) - 1))]
            borrower = Told(tokens=tokens[: int(amount * len(tokens))])
            borrower.cache.borrow(layers, len(borrower.tokens))
            sessions.append(borrower)
        for layers, tokens in lent:
            assert read(layers) == tokens
        for session in sessions:
            assert session.cache.length == len(session.tokens)
            if session.tokens:
                assert read(session.cache.lend(session.cache.length)) == session.tokens


def test_blocks_find_the_same_places_until_a_cache_must_grow() -> None:
    session = Told()
    session.write(list(range(60)))
    assert session.cache.holds(SPAN) and not session.cache.holds(Span(3, 6))
    places = session.cache.places(SPAN, 4)
    session.write_in_place([60, 61, 62, 63])
    assert session.cache.places(Span(3, 5), 0) is places
    session.write_in_place([64])
    assert session.cache.places(SPAN, 1)[2] == 128
    with pytest.raises(ValueError, match="do not fit"):
        session.cache.places(SPAN, ROOM)


def test_a_session_makes_a_copy_of_what_it_borrowed_when_it_first_writes() -> None:
    first, second = Told(), Told()
    first.write(list(range(70)))
    layers = first.cache.lend(64)
    second.cache.borrow(layers, 64)
    second.tokens = list(range(64))
    assert second.cache.borrows
    second.write([100])
    assert not second.cache.borrows
    assert read(layers) == list(range(64))


def test_a_session_that_lends_goes_on_in_its_own_memory() -> None:
    session = Told()
    session.write(list(range(70)))
    before = session.cache.lend(64)[3][0].data_ptr()
    session.write([70])
    assert session.cache.lend(1)[3][0].data_ptr() == before
    session.roll_back(63)
    session.write([200])
    assert session.cache.lend(1)[3][0].data_ptr() != before


def test_only_an_empty_cache_borrows() -> None:
    session = Told()
    session.write([1])
    with pytest.raises(ValueError, match="cannot borrow"):
        session.cache.borrow({}, 1)


def test_a_view_counts_for_all_the_memory_that_it_keeps() -> None:
    session = Told()
    session.write(list(range(70)))
    assert block_tokens_of(session.cache.lend(64)) == 128 * len(BLOCKS)
    assert block_tokens_of({}) == 0
