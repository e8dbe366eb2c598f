"""Which links there are over a placement, and the cheapest path along them."""

from __future__ import annotations

from itertools import product

import pytest

from routing.errors import BlocksNotCovered, MemoryTooSmall
from routing.plan.cluster import ModelShape, Server
from routing.simulation.links import LinkGraph
from routing.span import Span
from tests.routing.simulation.clusters import random_cluster, rng

MODEL = ModelShape(4, 1.0, 0.5)


def test_only_links_on_a_way_from_the_first_block_to_the_last_are_kept() -> None:
    servers = [Server(f"s{index}", 100.0, 0.1, 0.1) for index in range(4)]
    graph = LinkGraph(servers, MODEL, (Span(0, 2), Span(1, 4), Span(1, 2), None), "the test")
    assert [(link.server, str(link.span)) for link in graph.links] == [(0, "0:2"), (1, "2:4")]


def test_a_link_whose_blocks_do_not_fit_into_the_cache_is_left_out() -> None:
    servers = [Server("a", 100.0, 0.1, 0.1), Server("b", 4.5, 0.1, 0.1)]
    graph = LinkGraph(servers, MODEL, (Span(0, 3), Span(0, 4)), "the test")
    assert [(link.server, str(link.span)) for link in graph.links] == [(0, "0:3"), (1, "3:4")]
    with pytest.raises(MemoryTooSmall, match="the test leaves no chain of servers with cache for a job"):
        LinkGraph(servers[1:], MODEL, (Span(0, 4),), "the test")
    with pytest.raises(BlocksNotCovered, match="the test leaves blocks 1:3 of 4 without a server"):
        LinkGraph(servers, MODEL, (Span(0, 1), Span(3, 4)), "the test")


def test_the_cheapest_path_is_the_cheapest_of_all_paths() -> None:
    for seed in range(10):
        servers, model = random_cluster(seed, count=6, blocks=4)
        source = rng(seed)
        spans = [Span(start, start + 2) for start in [0, 2, *source.integers(0, 3, 4).tolist()]]
        graph = LinkGraph(servers, model, spans, "the test")
        costs = source.uniform(0, 1, len(graph.links)).tolist()
        paths = [
            path
            for length in range(1, 5)
            for path in product(range(len(graph.links)), repeat=length)
            if [block for link in path for block in graph.links[link].span.blocks()] == list(range(4))
        ]
        best = min(paths, key=lambda path: sum(costs[link] for link in path))
        assert graph.cheapest(costs) == best
        closed = [float("inf") if link.span.start == 0 else 1.0 for link in graph.links]
        assert graph.cheapest(closed) is None
