"""BPRR: how CG-BP places blocks, and how WS-RR weighs waits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from routing.errors import ClusterInvalid, MemoryTooSmall
from routing.plan.cluster import ModelShape, Server, cache_slots, hosted_blocks
from routing.simulation import BprrPolicy, Job, bprr_policy, cg_bp, design_number
from routing.simulation.links import LinkGraph
from routing.span import Span
from tests.routing.simulation.clusters import chains_taken, jobs_at, random_cluster, run

MODEL = ModelShape(4, 1.0, 0.5)


def policy(servers: list[Server], *spans: Span) -> BprrPolicy:
    return BprrPolicy(LinkGraph(servers, MODEL, spans, "the test"))


def test_cg_bp_covers_all_blocks_with_the_fastest_servers_first() -> None:
    servers = [Server("slow", 4.0, 0.1, 0.9), Server("fast", 4.0, 0.1, 0.1), Server("middle", 4.0, 0.1, 0.5)]
    # Room for two blocks with two jobs each. The first two cover the model; the third finds all capacities equal.
    assert cg_bp(servers, MODEL, 2) == (Span(0, 2), Span(0, 2), Span(2, 4))


def test_cg_bp_doubles_blocks_that_are_short_of_jobs_before_it_balances() -> None:
    model = ModelShape(2, 1.0, 1.0)
    # Two blocks with cache for two jobs fit nowhere but on d; a, b and c hold one block for two jobs.
    servers = [Server(name, 3.0, 0.1, 0.1) for name in "abc"] + [Server("d", 6.0, 0.1, 0.9)]
    assert cg_bp(servers, model, 2) == (Span(0, 1), Span(1, 2), Span(0, 1), Span(0, 2))


def test_cg_bp_places_the_slowest_times_where_capacity_is_missing_most() -> None:
    servers = [Server("a", 6.0, 0.1, 0.1), Server("b", 4.5, 0.1, 0.2), Server("c", 4.5, 0.1, 0.3)]
    # a holds three blocks, so block 3 is short; b takes it with the block beside it, c the least served ones.
    assert cg_bp(servers, MODEL, 2) == (Span(0, 3), Span(2, 4), Span(0, 2))


def cg_bp_by_the_book(servers: list[Server], model: ModelShape, concurrent: int) -> tuple[Span | None, ...]:
    """The placement as one would do it by hand, block by block."""
    counts = [hosted_blocks(server, model, concurrent) for server in servers]
    per_block = [server.job_seconds(m) / m if m else float("inf") for server, m in zip(servers, counts, strict=True)]
    missing = 1.05 * max(time for time in per_block if time < float("inf"))
    # What every block has for each of its |R| jobs: the time of a server that is there for it, or worse.
    served: list[list[float]] = [[] for _ in range(model.blocks)]
    capacity = [0] * model.blocks
    spans: list[Span | None] = [None] * len(servers)
    for index in sorted(range(len(servers)), key=lambda index: per_block[index]):
        m = counts[index]
        if m == 0:
            continue
        windows = [range(start, start + m) for start in range(model.blocks - m + 1)]
        if min(capacity) < concurrent:
            short = [window for window in windows if any(capacity[block] < concurrent for block in window)]
            times = [
                sum(sum(served[block]) + missing * (concurrent - len(served[block])) for block in window)
                for window in short
            ]
            window = next(w for w, time in zip(short, times, strict=True) if time > max(times) - 1e-9)
        else:
            window = min(windows, key=lambda window: sorted(capacity[block] for block in window))
        jobs = cache_slots(servers[index], model, m) // m
        for block in window:
            served[block] = (served[block] + [per_block[index]] * jobs)[:concurrent]
            capacity[block] += jobs
        spans[index] = Span(window.start, window.stop)
    return tuple(spans)


def test_cg_bp_places_as_by_the_book() -> None:
    compared = 0
    for seed in range(60):
        servers, model = random_cluster(seed, count=10)
        # Little cache beside the weights, so that one server may have room for more jobs than are planned for.
        model = replace(model, cache_bytes=0.25 if seed % 2 else 0.1)
        for concurrent in (1, 2, 3, 5):
            with suppress(MemoryTooSmall):
                assert cg_bp(servers, model, concurrent) == cg_bp_by_the_book(servers, model, concurrent)
                compared += 1
    assert compared > 100


def test_cg_bp_says_when_so_many_jobs_do_not_fit() -> None:
    servers = [Server("a", 4.0, 0.1, 0.1), Server("b", 4.0, 0.1, 0.1)]
    with pytest.raises(MemoryTooSmall, match="all 4 blocks with cache for 3 jobs"):
        cg_bp(servers, MODEL, 3)
    with pytest.raises(ClusterInvalid, match="give at least 1"):
        cg_bp(servers, MODEL, 0)


def test_the_design_number_grows_with_the_load_up_to_what_surely_fits() -> None:
    servers = [Server(f"s{index}", 40.0, 0.5, 0.5) for index in range(4)]
    # A lone job takes 2.5 s on one server. (160 - 8) / 4 = 38 jobs surely fit.
    assert design_number(servers, MODEL, 0.4) == 2
    assert design_number(servers, MODEL, 4.0) == 13
    assert design_number(servers, MODEL, 1000.0) == 38


def test_blocks_are_placed_for_the_design_number_of_jobs() -> None:
    servers = [Server(f"s{index}", 10.0, 0.5, 0.5) for index in range(4)]
    assert design_number(servers, MODEL, 2.0) == 7
    placed = bprr_policy(servers, MODEL, 2.0).spans
    assert placed == cg_bp(servers, MODEL, 7)
    assert placed != cg_bp(servers, MODEL, 1)


def test_a_client_waits_for_a_fast_server_rather_than_take_a_much_slower_one() -> None:
    servers = [Server("fast", 6.0, 0.0, 1.0), Server("slow", 6.0, 0.0, 2.0)]  # 4 s and 8 s, one job each
    placed = policy(servers, Span(0, 4), Span(0, 4))
    # At 1 the fast server is expected to be free in 3 s: 3 + 4 < 8. At 1.5 it is promised until 8.
    result = run(placed, servers, jobs_at(0.0, 1.0, 1.5))
    assert chains_taken(result) == [(0,), (0,), (1,)]
    assert result.start.tolist() == [0, 4, 1.5]


def test_waits_are_expected_from_mean_times_since_sizes_are_unknown() -> None:
    servers = [Server("fast", 6.0, 0.0, 1.0), Server("slow", 6.0, 0.0, 2.0)]
    jobs = [Job(0.0, 5.0, 0, 0), Job(1.0, 1.0, 0, 0), Job(30.0, 0.1, 0, 0), Job(31.0, 1.0, 0, 0)]
    result = run(policy(servers, Span(0, 4), Span(0, 4)), servers, jobs)
    # The first job lasts 20 s; the second was led to expect 4. The third has long ended when the fourth comes.
    assert chains_taken(result) == [(0,), (0,), (0,), (0,)]
    assert result.start.tolist() == [0, 20, 30, 31]


def test_a_job_that_started_late_is_expected_to_end_late() -> None:
    servers = [Server("fast", 6.0, 0.0, 1.0), Server("slow", 6.0, 0.0, 1.6)]  # 4 s and 6.4 s, one job each
    jobs = [Job(0.0, 5.0, 0, 0), Job(2.0, 1.0, 0, 0), Job(21.0, 1.0, 0, 0)]
    result = run(policy(servers, Span(0, 4), Span(0, 4)), servers, jobs)
    # The second was to run from 4 to 8 and runs from 20 to 24, so the third would wait for 3 s.
    assert chains_taken(result) == [(0,), (0,), (1,)]


def test_servers_give_their_cache_in_order_of_arrival() -> None:
    # a has cache for two jobs, b for one.
    servers = [Server("a", 4.0, 0.0, 1.0), Server("b", 3.0, 0.0, 1.0)]
    result = run(policy(servers, Span(0, 2), Span(2, 4)), servers, jobs_at(0.0, 0.1, 0.2))
    assert result.start.tolist() == [0, 4, 8]


def test_a_later_job_may_pass_one_that_waits_for_other_servers() -> None:
    servers = [Server("a", 3.0, 0.0, 1.0), Server("b", 3.0, 0.0, 1.0), Server("whole", 6.0, 0.0, 1.9)]
    result = run(policy(servers, Span(0, 2), Span(2, 4), Span(0, 4)), servers, jobs_at(0.0, 0.1, 0.2))
    assert chains_taken(result) == [(0, 1), (2,), (0, 1)]
    assert result.start.tolist() == [0, 0.1, 4]
