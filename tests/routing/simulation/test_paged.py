"""Paged cache: short jobs leave room for others."""

from __future__ import annotations

import pytest

from routing.errors import ClusterInvalid
from routing.plan.cluster import ModelShape, Server
from routing.plan.gca import gca
from routing.simulation import (
    Job,
    build_policy,
    fixed_chain_policy,
    paged_policy,
    poisson_jobs,
)
from routing.span import Span
from tests.routing.simulation.clusters import chains_taken, jobs_at, random_cluster, rng, run

MODEL = ModelShape(2, 1.0, 0.5)
SESSION = 64


def test_as_many_jobs_run_at_once_as_their_own_lengths_allow() -> None:
    servers = [Server("a", 4.0, 0.0, 1.0)]  # 4 slots beside both blocks: 2 jobs of 64 tokens, 8 of 16
    policy = paged_policy(servers, MODEL, [Span(0, 2)], SESSION)
    assert policy.server_tokens == (256,)
    result = run(policy, servers, jobs_at(*[0.0] * 9, tokens=16))
    assert result.start.tolist() == [0] * 8 + [2]
    assert run(policy, servers, jobs_at(*[0.0] * 5, tokens=17)).start.tolist() == [0] * 4 + [2]


def test_a_job_longer_than_a_session_reserves_a_session() -> None:
    servers = [Server("a", 4.0, 0.0, 1.0)]
    policy = paged_policy(servers, MODEL, [Span(0, 2)], SESSION)
    assert [policy.reserved_tokens(Job(0, size, 40, 8)) for size in (0.1, 1.0, 1.01, 100.0)] == [16, 48, 64, 64]
    assert run(policy, servers, jobs_at(*[0.0] * 3, tokens=1000)).start.tolist() == [0, 0, 2]
    odd = paged_policy(servers, MODEL, [Span(0, 2)], 50)
    assert odd.reserved_tokens(Job(0, 1.0, 49, 1)) == 50


def test_the_head_of_the_queue_is_not_overtaken_by_shorter_jobs() -> None:
    servers = [Server("a", 3.0, 0.0, 1.0)]  # room for one job of 64 tokens
    policy = paged_policy(servers, MODEL, [Span(0, 2)], SESSION)
    jobs = [Job(0.0, 1.0, 32, 0), Job(0.1, 1.0, 48, 0), Job(0.2, 1.0, 16, 0)]
    assert run(policy, servers, jobs).start.tolist() == [0, 2, 2]


def test_jobs_take_the_fastest_chain_with_pages_for_them() -> None:
    servers = [Server("fast", 3.0, 0.0, 1.0), Server("slow", 3.0, 0.0, 1.5)]
    policy = paged_policy(servers, MODEL, [Span(0, 2), Span(0, 2)], SESSION)
    jobs = [Job(0.0, 1.0, 48, 0), Job(0.1, 1.0, 32, 0), Job(0.2, 1.0, 16, 0)]
    assert chains_taken(run(policy, servers, jobs)) == [(0,), (1,), (0,)]


@pytest.mark.parametrize("seed", range(6))
def test_with_full_sessions_it_is_the_static_cache(seed: int) -> None:
    servers, model = random_cluster(seed, count=12)
    spans = build_policy("proposed", servers, model, 0.1, rng(), paged=True, session_tokens=SESSION).spans
    chains = gca(servers, model, spans)
    jobs = poisson_jobs(0.8 * sum(chain.rate for chain in chains), 300, rng(seed), input_tokens=10**6)
    paged = run(paged_policy(servers, model, spans, SESSION), servers, jobs)
    static = run(fixed_chain_policy("jffc", chains), servers, jobs)
    assert paged.end.tolist() == pytest.approx(static.end.tolist())


def test_pages_shorten_waits_when_jobs_are_shorter_than_sessions() -> None:
    servers, model = random_cluster(3, count=12)
    spans = build_policy("proposed", servers, model, 0.1, rng(), paged=True, session_tokens=SESSION).spans
    chains = gca(servers, model, spans)
    jobs = poisson_jobs(1.1 * sum(chain.rate for chain in chains), 2_000, rng(), input_tokens=16)
    paged = run(paged_policy(servers, model, spans, SESSION), servers, jobs).summary()
    static = run(fixed_chain_policy("jffc", chains), servers, jobs).summary()
    assert paged.wait.mean < 0.2 * static.wait.mean


def test_jobs_without_lengths_and_sessions_without_tokens_are_refused() -> None:
    servers = [Server("a", 4.0, 0.0, 1.0)]
    with pytest.raises(ClusterInvalid, match="give their input and output tokens"):
        run(paged_policy(servers, MODEL, [Span(0, 2)], SESSION), servers, jobs_at(0.0, tokens=0))
    with pytest.raises(ClusterInvalid, match="at least 1"):
        paged_policy(servers, MODEL, [Span(0, 2)], 0)
