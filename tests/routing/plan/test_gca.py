"""Greedy cache allocation."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings

from routing.plan.cluster import Chain, Link, ModelShape, Server, cache_slots, total_rate
from routing.plan.gbp_cr import gbp_cr
from routing.plan.gca import gca
from routing.span import Span
from tests.routing.clusters import EPSILON, EXAMPLE_MODEL, EXAMPLE_SERVERS, placed_clusters


def feasible_chains(
    servers: Sequence[Server],
    model: ModelShape,
    spans: Sequence[Span | None],
    slots: Sequence[int],
    first: int = 0,
    last: int = -1,
) -> Iterator[tuple[Link, ...]]:
    """Every way from block ``first`` to the end: a server may follow another iff it hosts the next block."""
    if first == model.blocks:
        yield ()
        return
    for index, span in enumerate(spans):
        if index != last and span is not None and first in span and slots[index] >= span.end - first:
            for rest in feasible_chains(servers, model, spans, slots, span.end, index):
                yield (Link(index, Span(first, span.end)), *rest)


def slots_of(servers: Sequence[Server], model: ModelShape, spans: Sequence[Span | None]) -> list[int]:
    return [
        0 if span is None else cache_slots(server, model, len(span))
        for server, span in zip(servers, spans, strict=True)
    ]


def seconds_of(servers: Sequence[Server], links: Sequence[Link]) -> float:
    return sum(servers[link.server].job_seconds(len(link.span)) for link in links)


def test_the_papers_example_gives_three_chains_of_five_jobs() -> None:
    spans = gbp_cr(EXAMPLE_SERVERS, EXAMPLE_MODEL, reserve=1).spans
    chains = gca(EXAMPLE_SERVERS, EXAMPLE_MODEL, spans)

    assert [[link.server + 1 for link in chain.links] for chain in chains] == [[1, 2], [1, 4, 5], [3, 4, 5]]
    assert [chain.capacity for chain in chains] == [5, 5, 5]
    assert total_rate(chains) == pytest.approx(5 / (3 + 5 * EPSILON) + 5 / (3 + 10 * EPSILON) + 5 / (3 + 12 * EPSILON))


def test_two_chains_share_a_server_that_has_cache_for_both() -> None:
    model = ModelShape(blocks=2, block_bytes=1, cache_bytes=1)
    servers = [Server("shared", 5, 1, 1), Server("fast", 3, 1, 1), Server("slow", 3, 1, 2)]

    chains = gca(servers, model, [Span(0, 1), Span(1, 2), Span(1, 2)])
    assert chains == (
        Chain((Link(0, Span(0, 1)), Link(1, Span(1, 2))), 4, 2),
        Chain((Link(0, Span(0, 1)), Link(2, Span(1, 2))), 5, 2),
    )


def test_a_placement_with_a_gap_has_no_chain() -> None:
    model = ModelShape(blocks=3, block_bytes=1, cache_bytes=1)
    servers = [Server("a", 9, 1, 1), Server("b", 9, 1, 1), Server("idle", 9, 1, 1)]

    assert gca(servers, model, [Span(0, 1), Span(2, 3), None]) == ()
    assert gca(servers, model, [None, None, None]) == ()


def test_a_server_whose_weights_do_not_fit_is_on_no_chain() -> None:
    model = ModelShape(blocks=3, block_bytes=1, cache_bytes=1)

    assert gca([Server("small", 2, 1, 1)], model, [Span(0, 3)]) == ()


@settings(max_examples=150, deadline=None)
@given(placed_clusters())
def test_each_chain_is_the_fastest_that_is_left_and_takes_all_it_can(cluster) -> None:
    """Algorithm 2 taken literally, over every feasible chain."""
    servers, model, spans = cluster
    slots = slots_of(servers, model, spans)

    for chain in gca(servers, model, spans):
        fastest = min(seconds_of(servers, links) for links in feasible_chains(servers, model, spans, slots))
        assert chain.service_seconds == pytest.approx(fastest, rel=1e-12)
        assert chain.service_seconds == pytest.approx(seconds_of(servers, chain.links), rel=1e-12)
        assert chain.capacity == min(slots[link.server] // len(link.span) for link in chain.links) > 0
        for link in chain.links:
            slots[link.server] -= chain.capacity * len(link.span)
    assert min(slots) >= 0
    assert next(feasible_chains(servers, model, spans, slots), None) is None


@settings(deadline=None)
@given(placed_clusters())
def test_chains_come_fastest_first_and_cover_every_block_once(cluster) -> None:
    servers, model, spans = cluster
    chains = gca(servers, model, spans)

    assert [chain.service_seconds for chain in chains] == sorted(chain.service_seconds for chain in chains)
    for chain in chains:
        assert [block for link in chain.links for block in link.span.blocks()] == list(range(model.blocks))
        assert all(spans[link.server].covers(link.span) for link in chain.links)
        assert all(spans[link.server].end == link.span.end for link in chain.links)


@settings(deadline=None)
@given(placed_clusters())
def test_no_server_holds_more_cache_than_it_has(cluster) -> None:
    servers, model, spans = cluster
    used = [0] * len(servers)
    for chain in gca(servers, model, spans):
        for link in chain.links:
            used[link.server] += chain.capacity * len(link.span)

    assert all(taken <= max(0, slots) for taken, slots in zip(used, slots_of(servers, model, spans), strict=True))
