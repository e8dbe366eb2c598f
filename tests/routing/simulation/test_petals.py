"""PETALS: where its servers settle, which paths its clients take, and how they wait."""

from __future__ import annotations

import numpy as np
import pytest

from routing.errors import BlocksNotCovered, Overloaded
from routing.plan.cluster import ModelShape, Server
from routing.simulation import PetalsPolicy, petals_placement, petals_policy
from routing.simulation import petals as petals_module
from routing.simulation.links import LinkGraph
from routing.simulation.petals import back_off_seconds
from routing.simulation.petals_placement import weakest_window
from routing.span import Span
from tests.routing.simulation.clusters import chains_taken, jobs_at, rng, run

MODEL = ModelShape(4, 1.0, 0.5)


def policy(servers: list[Server], *spans: Span, output_tokens: float = 1.0) -> PetalsPolicy:
    return PetalsPolicy(LinkGraph(servers, MODEL, spans, "the test"), output_tokens)


def test_servers_hold_as_many_blocks_as_fit_with_the_cache_of_two_jobs() -> None:
    servers = [Server("a", 5.9, 0.1, 0.1), Server("b", 1.9, 0.1, 0.1), Server("c", 100.0, 0.1, 0.1)]
    spans = petals_placement(servers, MODEL, rng())
    assert [None if span is None else len(span) for span in spans] == [2, None, 4]
    spans = petals_placement(servers, MODEL, rng(), cache_jobs=1.0)
    assert [None if span is None else len(span) for span in spans] == [3, 1, 4]


def test_newcomers_join_where_the_swarm_is_weakest() -> None:
    servers = [Server(f"s{index}", 4.0, 0.1, 0.1) for index in range(6)]
    for seed in range(5):
        spans = petals_placement(servers, MODEL, rng(seed))
        assert sorted(str(span) for span in spans) == ["0:2"] * 3 + ["2:4"] * 3


def test_windows_are_compared_by_their_weakest_blocks_first_then_by_the_next() -> None:
    assert weakest_window(np.array([3.0, 1.0, 9.0]), 2) == 0
    assert weakest_window(np.array([9.0, 1.0, 3.0]), 2) == 1
    assert weakest_window(np.array([2.0, 2.0, 1.0, 9.0, 9.0]), 2) == 1
    assert weakest_window(np.array([5.0, 5.0, 5.0]), 2) == 0


def test_servers_move_where_that_helps_the_bottleneck_enough_and_else_stay() -> None:
    # One fast server equals three slow ones: whatever the order of joining, it ends up alone on its half.
    servers = [Server("fast", 4.0, 0.01, 0.1), *(Server(f"slow{index}", 4.0, 0.01, 0.3) for index in range(3))]
    for seed in range(12):
        fast, *slow = petals_placement(servers, MODEL, rng(seed))
        assert set(slow) == {Span(0, 2), Span(2, 4)} - {fast}
    stay = {petals_placement(servers, MODEL, rng(seed), balance_quality=0.0) for seed in range(12)}
    assert any(len(set(spans[1:])) == 2 for spans in stay)


def test_a_client_takes_the_shortest_path_and_avoids_a_server_that_lacks_cache_for_all_it_hosts() -> None:
    # a holds 5 slots for 4 blocks: a second job does not fit there. b holds one for each block, and is slower.
    servers = [Server("a", 6.5, 0.1, 1.0), Server("b", 6.0, 0.1, 1.5)]
    result = run(policy(servers, Span(0, 4), Span(0, 4)), servers, jobs_at(0.0, 0.1, 9.0))
    assert chains_taken(result) == [(0,), (1,), (0,)]
    assert result.wait.tolist() == [0, 0, 0]


def test_a_server_that_seems_full_is_taken_if_the_way_around_is_over_ten_seconds_a_token_longer() -> None:
    # b has one slot for the two blocks that it hosts, enough for a job that enters at the second.
    servers = [Server("a", 4.5, 0.1, 1.0), Server("b", 2.5, 0.1, 1.0), Server("c", 100.0, 0.1, 12.0)]
    spans = (Span(0, 3), Span(2, 4), Span(0, 4))
    result = run(policy(servers, *spans), servers, jobs_at(0.0))
    assert chains_taken(result) == [(0, 1)]
    assert chains_taken(run(policy(servers, *spans, output_tokens=20.0), servers, jobs_at(0.0))) == [(0, 2)]
    servers[2] = Server("c", 100.0, 0.1, 5.0)
    assert chains_taken(run(policy(servers, *spans), servers, jobs_at(0.0))) == [(0, 2)]


def test_a_client_that_is_refused_tries_again_after_one_two_four_seconds() -> None:
    servers = [Server("a", 6.0, 0.0, 1.25)]  # one job of 5 s at a time
    result = run(policy(servers, Span(0, 4)), servers, jobs_at(0.0, 0.5))
    assert result.start.tolist() == [0, 7.5]  # attempts at 0.5, 1.5, 3.5 and 7.5
    assert [back_off_seconds(attempts) for attempts in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off_seconds(10**9) == 60


def test_later_clients_may_overtake_since_nobody_queues() -> None:
    servers = [Server("a", 6.0, 0.0, 1.25)]
    result = run(policy(servers, Span(0, 4)), servers, jobs_at(0.0, 0.5, 5.25))
    assert result.start.tolist() == [0, 17.5 - 2.0, 5.25]


def test_memory_beyond_what_was_counted_on_lies_idle_unless_it_is_asked_for() -> None:
    servers = [Server("a", 100.0, 0.0, 1.0)]  # the whole model and much more
    jobs = jobs_at(*[0.0] * 3)
    assert run(petals_policy(servers, MODEL, rng()), servers, jobs).start.tolist() == [0, 0, 7]  # attempts at 1, 3, 7
    spare = petals_policy(servers, MODEL, rng(), spare_memory=True)
    assert run(spare, servers, jobs).start.tolist() == [0, 0, 0]


def test_a_swarm_with_a_gap_is_refused() -> None:
    with pytest.raises(
        BlocksNotCovered, match=r"PETALS leaves blocks 2:4 of 4 without a server; add servers or memory"
    ):
        petals_policy([Server("a", 4.0, 0.1, 0.1)], MODEL, rng())


def test_an_endless_crowd_of_clients_ends_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(petals_module, "MAX_WAITING", 3)
    servers = [Server("a", 6.0, 0.0, 1.25)]
    with pytest.raises(Overloaded, match="over 3 jobs wait under PETALS"):
        run(policy(servers, Span(0, 4)), servers, jobs_at(*[0.0] * 5))
