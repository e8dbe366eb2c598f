"""Each dispatching rule does what its name says."""

from __future__ import annotations

from collections import Counter

import pytest

from routing.errors import ClusterInvalid, MemoryTooSmall
from routing.plan.cluster import ModelShape, Server
from routing.simulation import fixed_chain_policy, whole_model_chains
from tests.routing.simulation.clusters import chains_taken, jobs_at, one_block_chains, run

FAST, SLOW = (0,), (1,)


def taken(rule: str, shapes: list[tuple[float, int]], count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Servers of the chains that jobs go to which all arrive at once."""
    servers, chains = one_block_chains(*shapes)
    return chains_taken(run(fixed_chain_policy(rule, chains), servers, jobs_at(*[0.0] * count), seed))


def test_jffc_fills_the_fastest_chain_and_keeps_the_rest_for_whoever_is_free_first() -> None:
    assert taken("jffc", [(1.0, 2), (1.5, 1)], 6) == [FAST, FAST, SLOW, FAST, FAST, SLOW]


def test_jsq_balances_numbers_whatever_the_speed() -> None:
    assert Counter(taken("jsq", [(1.0, 10), (100.0, 1)], 10)) == {FAST: 5, SLOW: 5}


def test_jsq_breaks_ties_at_random_and_sa_jsq_by_speed() -> None:
    first = {taken("jsq", [(1.0, 1), (2.0, 1)], 1, seed)[0] for seed in range(20)}
    assert first == {FAST, SLOW}
    assert {taken("sa-jsq", [(1.0, 1), (2.0, 1)], 1, seed)[0] for seed in range(20)} == {FAST}
    assert taken("sa-jsq", [(1.0, 1), (2.0, 1)], 4) == [FAST, SLOW, FAST, SLOW]


def test_jiq_prefers_a_free_slot_and_else_does_not_look() -> None:
    assert Counter(taken("jiq", [(1.0, 2), (2.0, 2)], 4, seed=1)) == {FAST: 2, SLOW: 2}
    blind = Counter(taken("jiq", [(1.0, 1), (2.0, 1)], 400))
    assert 150 < blind[FAST] < 250


def test_sed_weighs_the_queue_against_the_speed() -> None:
    # The fifth job would take 5 s on the fast chain and 4.5 s on the slow one.
    assert taken("sed", [(1.0, 1), (4.5, 1)], 5) == [FAST, FAST, FAST, FAST, SLOW]
    # With two slots the third job expects 1.5 times the service time.
    assert taken("sed", [(1.0, 2), (1.4, 1)], 3) == [FAST, FAST, SLOW]
    assert taken("sed", [(1.0, 2), (1.6, 1)], 3) == [FAST, FAST, FAST]


def test_random_sends_jobs_in_proportion_to_the_rates() -> None:
    counts = Counter(taken("random", [(1.0, 3), (1.0, 1)], 2_000))
    assert counts[FAST] / 2_000 == pytest.approx(0.75, abs=0.04)


def test_all_but_jffc_keep_a_job_on_the_chain_it_was_sent_to() -> None:
    servers, chains = one_block_chains((1.0, 1), (10.0, 1))
    jobs = jobs_at(0.0, 0.0, 0.0, 0.0)
    assert run(fixed_chain_policy("sa-jsq", chains), servers, jobs).end.tolist() == [1, 10, 2, 20]
    assert run(fixed_chain_policy("jffc", chains), servers, jobs).end.tolist() == [1, 10, 2, 3]


def test_chains_may_be_given_in_any_order() -> None:
    servers, chains = one_block_chains((2.0, 1), (1.0, 1))
    result = run(fixed_chain_policy("sa-jsq", chains), servers, jobs_at(0.0))
    assert chains_taken(result) == [(1,)]


def test_unknown_rules_and_no_chains_are_refused() -> None:
    _, chains = one_block_chains((1.0, 1))
    with pytest.raises(ClusterInvalid, match="no dispatching rule fifo; choose one of jffc, jsq"):
        fixed_chain_policy("fifo", chains)
    with pytest.raises(ClusterInvalid, match="no chain with room"):
        fixed_chain_policy("jffc", [])


def test_jffc_only_uses_the_servers_that_hold_the_whole_model() -> None:
    model = ModelShape(4, 1.0, 0.5)
    servers = [Server("small", 5.9, 0.1, 0.1), Server("slow", 6.0, 0.1, 2.0), Server("large", 11.9, 0.1, 1.0)]
    chains = whole_model_chains(servers, model)
    assert [(chain.links[0].server, chain.capacity) for chain in chains] == [(2, 3), (1, 1)]
    assert [chain.service_seconds for chain in chains] == pytest.approx([4.1, 8.1])
    with pytest.raises(MemoryTooSmall, match="no server holds the whole model"):
        whole_model_chains(servers[:1], model)
