"""Greedy block placement with cache reservation."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.plan.cluster import ModelShape, Server, hosted_blocks, whole
from routing.plan.gbp_cr import chains_for_rate, gbp_cr
from routing.span import Span
from tests.routing.clusters import EPSILON, EXAMPLE_MODEL, EXAMPLE_SERVERS, clusters


def test_the_papers_example_gives_two_disjoint_chains() -> None:
    placement = gbp_cr(EXAMPLE_SERVERS, EXAMPLE_MODEL, reserve=1)

    assert placement.chains == ((0, 1), (2, 3, 4))
    assert placement.spans == (Span(0, 1), Span(1, 3), Span(0, 1), Span(1, 2), Span(2, 3))
    assert placement.chain_seconds == pytest.approx((3 + 5 * EPSILON, 3 + 12 * EPSILON))


@given(clusters(), st.integers(1, 4))
def test_servers_of_a_chain_join_without_a_gap_and_keep_the_cache_they_promise(cluster, reserve) -> None:
    servers, model = cluster
    placement = gbp_cr(servers, model, reserve)

    for chain in placement.chains:
        spans = [placement.spans[index] for index in chain]
        assert spans[0].start == 0 and spans[-1].end == model.blocks
        assert all(left.end == right.start for left, right in pairwise(spans[:-1]))
        assert len(spans) == 1 or spans[-1].start <= spans[-2].end
    for server, span in zip(servers, placement.spans, strict=True):
        if span is not None:
            needed = len(span) * (model.block_bytes + reserve * model.cache_bytes)
            assert needed <= server.memory_bytes * (1 + 1e-12)


@given(clusters(), st.integers(1, 4))
def test_all_servers_that_hold_a_block_are_used(cluster, reserve) -> None:
    servers, model = cluster
    spans = gbp_cr(servers, model, reserve).spans

    assert [len(span) if span else 0 for span in spans] == [hosted_blocks(server, model, reserve) for server in servers]


def test_the_stop_rule_leaves_servers_unused_once_the_rate_is_met() -> None:
    model = ModelShape(blocks=2, block_bytes=1, cache_bytes=1)
    servers = [Server(f"s{index}", 2, 1, 1 + index) for index in range(6)]
    first, second, _ = gbp_cr(servers, model, reserve=1).chain_seconds

    stopped = gbp_cr(servers, model, reserve=1, stop_at_rate=1 / first + 1 / second)
    assert stopped.chains == ((0, 1), (2, 3))
    assert stopped.spans[4:] == (None, None)


def test_the_last_server_of_a_chain_overlaps_and_the_rest_begin_the_next() -> None:
    model = ModelShape(blocks=5, block_bytes=1, cache_bytes=1)
    servers = [Server(f"s{index}", 6, 1, 1 + index) for index in range(3)]

    assert gbp_cr(servers, model, reserve=1).spans == (Span(0, 3), Span(2, 5), Span(0, 3))


def test_a_server_too_small_for_one_block_with_its_cache_is_left_out() -> None:
    model = ModelShape(blocks=2, block_bytes=1, cache_bytes=1)
    servers = [Server("small", 3.9, 0, 0.1), Server("large", 8, 1, 1)]

    assert gbp_cr(servers, model, reserve=3).spans == (None, Span(0, 2))


def test_equally_fast_servers_are_taken_in_their_order() -> None:
    model = ModelShape(blocks=2, block_bytes=1, cache_bytes=1)
    servers = [Server(f"s{index}", 2, 1, 1) for index in range(4)]

    assert gbp_cr(servers, model, reserve=1).chains == ((0, 1), (2, 3))


@pytest.mark.parametrize("seed", range(200))
def test_with_equal_memories_no_random_placement_needs_fewer_slots(seed) -> None:
    """Theorem 2: c·K(c) is least."""
    draw = random.Random(seed)
    model = ModelShape(draw.randint(2, 20), block_bytes=1, cache_bytes=0.1)
    reserve = draw.randint(1, 8)
    memory = draw.uniform(1, model.blocks) * (1 + reserve * 0.1) + 0.01
    servers = [Server(f"s{n}", memory, draw.uniform(0, 2), draw.uniform(0.01, 1)) for n in range(draw.randint(20, 60))]
    ours = gbp_cr(servers, model, reserve)
    rate = sum(1 / seconds for seconds in ours.chain_seconds) * draw.uniform(0.05, 0.95)
    needed = chains_for_rate(ours, rate)
    assert needed is not None

    per_chain = -(-model.blocks // hosted_blocks(servers[0], model, reserve))
    times = [server.job_seconds(hosted_blocks(server, model, reserve)) for server in servers]
    for _ in range(100):
        draw.shuffle(times)
        totals = sorted(sum(times[at : at + per_chain]) for at in range(0, len(times) - per_chain + 1, per_chain))
        assert sum(1 / total for total in totals[: needed - 1]) < rate


def test_more_is_asked_than_all_disjoint_chains_give() -> None:
    placement = gbp_cr(EXAMPLE_SERVERS, EXAMPLE_MODEL, reserve=1)

    assert chains_for_rate(placement, 0.3) == 1
    assert chains_for_rate(placement, 0.5) == 2
    assert chains_for_rate(placement, 0.7) is None


def test_a_tenth_fits_ten_times_into_one() -> None:
    assert whole(1, 0.1) == 10
    assert whole(350 * 110_000_000 - 1, 110_000_000) == 349
