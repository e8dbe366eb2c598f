"""What holds for every policy: cache is never exceeded, no job is lost, chance is only in the seed."""

from __future__ import annotations

import numpy as np
import pytest

from routing.errors import ClusterInvalid, Overloaded, SwarmError
from routing.plan.cluster import Server, cache_slots
from routing.simulation import POLICY_NAMES, PagedPolicy, SimulationResult, build_policy, poisson_jobs
from routing.simulation.simulator import Policy
from routing.span import Span
from tests.routing.simulation.clusters import most_used, random_cluster, rng, run

RATE = 1.0
SESSION = 64


def spans_of(result: SimulationResult, policy: Policy, count: int) -> list[Span | None]:
    """What each server hosts; where the policy does not say, at least what it was used for."""
    known = getattr(policy, "spans", None)
    if known is not None:
        return list(known)
    spans: list[Span | None] = [None] * count
    for chain in policy.chains:  # type: ignore[attr-defined]
        for link in chain.links:
            before = spans[link.server] or link.span
            spans[link.server] = Span(min(before.start, link.span.start), max(before.end, link.span.end))
    return spans


@pytest.mark.parametrize("name", [*POLICY_NAMES, "paged"])
@pytest.mark.parametrize("seed", range(8))
def test_no_server_ever_holds_more_cache_than_it_has_and_every_job_runs_once(name: str, seed: int) -> None:
    servers, model = random_cluster(seed, count=12)
    if name == "jffc-only":
        # One server in three is large enough for the whole model.
        servers = [
            Server(server.name, server.memory_bytes * (2.5 if index % 3 == 0 else 1), 0.1, 0.2)
            for index, server in enumerate(servers)
        ]
    paged = name == "paged"
    policy = build_policy(
        "proposed" if paged else name, servers, model, RATE, rng(seed), paged=paged, session_tokens=SESSION
    )
    # Far more jobs at first than can run, so that all room is used and all have to wait.
    jobs = poisson_jobs(40 * RATE, 400, rng(seed), input_tokens=20, output_tokens=10)
    result = run(policy, servers, jobs, seed)
    assert np.isfinite(result.end).all()
    assert len(result.routes) == len(jobs)
    assert (result.wait >= 0).all() and (result.wait > 0).any()
    assert all(result.service > 0)
    for route in result.routes:
        covered = [block for link in route.links for block in link.span.blocks()]
        assert covered == list(range(model.blocks))
    full = 0
    for index, (server, span) in enumerate(zip(servers, spans_of(result, policy, len(servers)), strict=True)):
        if span is None:
            assert most_used(result, index) == 0
            continue
        if isinstance(policy, PagedPolicy):
            used = most_used(result, index, [policy.reserved_tokens(job) for job in jobs])
            room = policy.server_tokens[index]
            assert room * model.cache_bytes / SESSION <= server.memory_bytes - len(span) * model.block_bytes + 1e-9
        else:
            used = most_used(result, index)
            room = cache_slots(server, model, len(span))
        assert used <= room
        full += used > 0.5 * room
    assert full > 0


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_the_same_seed_gives_the_same_result(name: str) -> None:
    servers, model = random_cluster(5, count=12)
    servers[0] = Server("whole", 20.0, 0.1, 0.1)
    first, second = (
        run(build_policy(name, servers, model, RATE, rng(1)), servers, poisson_jobs(RATE, 300, rng(2)), seed=3)
        for _ in range(2)
    )
    assert first.end.tolist() == second.end.tolist()
    assert [route.links for route in first.routes] == [route.links for route in second.routes]


def test_a_policy_may_be_simulated_again() -> None:
    servers, model = random_cluster(5, count=12)
    jobs = poisson_jobs(10 * RATE, 300, rng(2), input_tokens=20)
    for name in ("proposed", "petals", "bprr", "sed"):
        policy = build_policy(name, servers, model, RATE, rng(1))
        assert run(policy, servers, jobs).end.tolist() == run(policy, servers, jobs).end.tolist()


def test_every_policy_is_called_what_it_was_asked_for() -> None:
    servers, model = random_cluster(5, count=12)
    servers[0] = Server("whole", 20.0, 0.1, 0.1)
    assert [build_policy(name, servers, model, RATE, rng()).name for name in POLICY_NAMES] == list(POLICY_NAMES)


def test_what_cannot_be_built_is_refused_in_one_line() -> None:
    servers, model = random_cluster(5, count=12)
    with pytest.raises(ClusterInvalid, match="no policy round-robin; choose one of proposed, petals"):
        build_policy("round-robin", servers, model, RATE, rng())
    with pytest.raises(ClusterInvalid, match="session_tokens"):
        build_policy("proposed", servers, model, RATE, rng(), paged=True)
    with pytest.raises(Overloaded, match="add servers"):
        build_policy("jsq", servers, model, 1e6, rng())
    for name in POLICY_NAMES:
        with pytest.raises(SwarmError) as raised:
            build_policy(name, [Server("small", 3.0, 0.1, 0.1)], model, RATE, rng())
        assert "\n" not in str(raised.value)
        with pytest.raises(SwarmError):
            build_policy(name, [], model, RATE, rng())
