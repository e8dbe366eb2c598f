"""Clients that decide for themselves, on records that are some time old."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import Chain, ModelShape, NodeState, NodeView, Server, SessionShape, Snapshot, fastest_chain, gbp_cr, gca
from routing.client.chains import LINK_HANDLING_SECONDS
from routing.errors import CacheFull, ClusterInvalid
from routing.plan.cluster import total_rate
from routing.settings import UNPLACED_ONE_WAY_SECONDS
from routing.simulation import (
    HABITS_OFF,
    Habits,
    Pools,
    StaleClientsPolicy,
    fixed_chain_policy,
    lane_pools,
    poisson_jobs,
    server_pools,
)
from routing.simulation.links import LinkGraph
from routing.span import Span
from tests.routing.clusters import clusters
from tests.routing.simulation.clusters import jobs_at, most_used, random_cluster, rng, run


def placed(seed: int) -> tuple[list[Server], tuple[Chain, ...], LinkGraph]:
    servers, model = random_cluster(seed, count=9)
    spans = gbp_cr(servers, model, 3).spans
    return servers, gca(servers, model, spans), LinkGraph(servers, model, spans, "GBP-CR")


def two_servers_in_a_row(capacity: int) -> Pools:
    """A chain of two servers with two blocks each, for so many jobs of one second."""
    model = ModelShape(4, 1.0, 0.1)
    servers = [Server(name, 2 + 0.2 * capacity, 0.0, 0.25) for name in "ab"]
    return server_pools(LinkGraph(servers, model, (Span(0, 2), Span(2, 4)), "test"))


def servers_of(pools: Pools) -> list[Server]:
    return [Server(f"s{number}", 3.0, 0.0, 0.25) for number in range(len(pools.graph.spans))]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("load", [0.5, 0.95])
def test_clients_that_see_everything_at_once_do_what_central_jffc_does(seed: int, load: float) -> None:
    servers, chains, graph = placed(seed)
    jobs = poisson_jobs(load * total_rate(chains), 400, rng(seed))
    instant = StaleClientsPolicy(
        lane_pools(graph, chains),
        (0.0,) * len(servers),
        view_seconds=(0, 0),
        announce_seconds=0,
        habits=Habits(near_equal=0),
    )
    central = run(fixed_chain_policy("jffc", chains), servers, jobs)
    ours = run(instant, servers, jobs)
    assert ours.start.tolist() == central.start.tolist()
    assert ours.end == pytest.approx(central.end)


@pytest.mark.parametrize("kind", ["lanes", "servers", "links of the chains"])
@pytest.mark.parametrize("habits", [Habits(), HABITS_OFF])
def test_no_slot_is_given_to_two_jobs(kind: str, habits: Habits) -> None:
    servers, chains, graph = placed(3)
    pools = {
        "lanes": lane_pools(graph, chains),
        "servers": server_pools(graph),
        "links of the chains": server_pools(graph, chains),
    }[kind]
    jobs = poisson_jobs(1.2 * total_rate(chains), 400, rng())
    result = run(StaleClientsPolicy(pools, (0.05,) * len(servers), clients=20, habits=habits), servers, jobs)
    used = [most_used(result, server) for server in range(len(servers))]
    assert all(amount <= slots for amount, slots in zip(used, graph.slots, strict=True))
    assert any(amount > 0.8 * slots for amount, slots in zip(used, graph.slots, strict=True)), "it was full at times"


def test_a_full_swarm_serves_waiting_jobs_in_order_of_arrival() -> None:
    pools = two_servers_in_a_row(capacity=2)
    result = run(
        StaleClientsPolicy(pools, (0.01, 0.03)), servers_of(pools), jobs_at(*(0.1 * number for number in range(12)))
    )
    assert sorted(result.start) == result.start.tolist()
    # Two at a time, a second each, and between two of them only messages.
    assert result.end[-1] < 6 * 1.2


def test_a_job_pays_a_round_trip_to_the_farthest_server_before_it_runs() -> None:
    pools = two_servers_in_a_row(capacity=2)
    result = run(StaleClientsPolicy(pools, (0.01, 0.03)), servers_of(pools), jobs_at(5.0))
    assert result.start[0] == pytest.approx(5.06)


def test_clients_who_herd_wait_longer_than_those_who_guard_against_it() -> None:
    servers, chains, graph = placed(1)
    jobs = poisson_jobs(0.85 * total_rate(chains), 900, rng(2))
    guarded = StaleClientsPolicy(lane_pools(graph, chains), (0.005,) * len(servers))
    central, ours, herd = (
        run(policy, servers, jobs).summary(0.1).response.mean
        for policy in (fixed_chain_policy("jffc", chains), guarded, replace(guarded, habits=HABITS_OFF))
    )
    assert central < ours < 1.2 * central
    assert herd > 1.5 * ours


@given(clusters(), st.integers(0, 2**32))
@settings(max_examples=50)
def test_however_jobs_choose_among_lanes_as_many_run_at_once_as_the_chains_hold(
    cluster: tuple[list[Server], ModelShape], seed: int
) -> None:
    servers, model = cluster
    draw = random.Random(seed)
    spans = gbp_cr(servers, model, draw.randint(1, 3)).spans
    chains = gca(servers, model, spans)
    if not chains:
        return
    pools = lane_pools(LinkGraph(servers, model, spans, "GBP-CR"), chains)
    free = list(pools.capacity)
    jobs = 0
    while (path := pools.fastest(free, [draw.uniform(0.01, 1) for _ in free])) is not None:
        jobs += 1
        for link in path:
            free[pools.pool[link]] -= 1
    assert jobs == sum(chain.capacity for chain in chains)
    assert not any(free)


@given(st.integers(0, 2**32))
@settings(max_examples=50)
def test_a_simulated_client_goes_the_way_that_a_real_one_goes(seed: int) -> None:
    draw = random.Random(seed)
    hop_seconds = UNPLACED_ONE_WAY_SECONDS + LINK_HANDLING_SECONDS
    servers, model = random_cluster(seed % 1000)
    servers = [replace(server, comm_seconds=hop_seconds) for server in servers]
    spans = gbp_cr(servers, model, 2).spans
    pools = server_pools(LinkGraph(servers, model, spans, "GBP-CR"))
    free = [draw.randint(0, slots) for slots in pools.capacity]
    nodes = [
        NodeView(str(server), (), NodeState.ONLINE, span, 0, 0, 0, slots, left, 0.0, servers[server].compute_seconds)
        for server, left, slots in zip(pools.server, free, pools.capacity, strict=True)
        if (span := spans[server]) is not None
    ]
    path = pools.fastest(free, np.ones(len(free)).tolist())
    snapshot = Snapshot("model", tuple(nodes), 0.0)
    try:
        hops = fastest_chain(snapshot, model.blocks, SessionShape(0, 1), lambda node: UNPLACED_ONE_WAY_SECONDS)
    except CacheFull:
        assert path is None
        return
    assert path is not None
    links = [pools.graph.links[link] for link in path]
    assert [(hop.node.peer_id, hop.span) for hop in hops] == [(str(link.server), link.span) for link in links]


def test_chains_of_another_placement_are_refused() -> None:
    _, chains, graph = placed(1)
    with pytest.raises(ClusterInvalid, match="do not run over this placement"):
        lane_pools(graph, [*chains, *placed(2)[1]])
