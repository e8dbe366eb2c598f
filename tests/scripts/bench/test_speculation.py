"""The benchmark of guessing ahead: what it makes of its measurements, and one small run."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from bench.processes.speculation_client import Answer
from bench.processes.tcp_echo import round_trip
from bench.speculation import DRAWN, ONE_WAY_SECONDS, REPEATS, TEXT, ask, prompts_of, results, ring
from swarm_node.model.source import ModelSource
from testbed.bed import Loopback


def answer(guessing: bool, token_seconds: float, rounds: int = 8, text: tuple[int, ...] = (1,) * 8) -> Answer:
    return Answer(REPEATS, guessing, token_seconds, token_seconds - 0.002, 0.01, rounds, text)


def test_a_ratio_is_the_median_of_turns_in_which_both_ways_met_the_same_machine() -> None:
    # A machine that is busy in the last turn slows both down.
    plain = [answer(False, seconds) for seconds in (0.1, 0.1, 0.5)]
    guessing = [answer(True, seconds, rounds=2) for seconds in (0.05, 0.05, 0.25)]
    (line,) = results("model", "network", [one for turn in zip(plain, guessing, strict=True) for one in turn])
    assert (line.ratio, line.worst, line.tokens_per_round) == (2.0, 2.0, 4.0)
    assert line.same_text


def test_another_text_is_told() -> None:
    (line,) = results("model", "network", [answer(False, 0.1), answer(True, 0.1, text=(2,) * 8)])
    assert not line.same_text


def test_what_the_ring_costs_is_told_from_delays_and_computing() -> None:
    cost = ring("model", [answer(False, 0.101), answer(True, 0.01)], round_trip=0.042)
    assert cost.client == pytest.approx(0.002)
    assert cost.ratio == pytest.approx(0.101 / (4 * ONE_WAY_SECONDS + 0.01 + 0.002))
    assert cost.ratio_to_bare == pytest.approx(0.101 / (4 * 0.021 + 0.01 + 0.002))


@pytest.mark.slow
def test_bare_messages_come_back() -> None:
    assert 0 < round_trip([], [], "127.0.0.1") < 1


@pytest.mark.slow
def test_a_swarm_on_loopback_is_asked_with_and_without_guesses() -> None:
    model = Path(str(files("swarm_node") / "demo_model"))
    prompts = prompts_of(ModelSource.open(str(model)), TEXT)
    answers = ask(Loopback(), model, prompts, new_tokens=24, runs=1)
    assert [(one.prompt, one.guessing) for one in answers] == [
        (REPEATS, False), (REPEATS, True), (DRAWN, False), (DRAWN, True)
    ]  # fmt: skip
    assert all(line.same_text for line in results("demo", "loopback", answers))
    assert answers[0].rounds == 24
