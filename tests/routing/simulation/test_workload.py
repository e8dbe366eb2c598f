"""Jobs: Poisson, from a trace, and mixtures of both."""

from __future__ import annotations

import pytest

from routing.errors import ClusterInvalid
from routing.simulation import poisson_jobs, trace_jobs, with_exponential_sizes, with_poisson_arrivals
from tests.routing.simulation.clusters import rng

TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05.9799600,110,27
""".splitlines(keepends=True)


def test_poisson_jobs_come_at_their_rate_with_sizes_of_mean_one() -> None:
    jobs = poisson_jobs(4.0, 20_000, rng(), input_tokens=7, output_tokens=3)
    assert jobs[-1].arrival == pytest.approx(5_000, rel=0.03)
    assert sum(job.size for job in jobs) / len(jobs) == pytest.approx(1, rel=0.03)
    assert {(job.input_tokens, job.output_tokens) for job in jobs} == {(7, 3)}


def test_a_trace_gives_times_since_its_first_job_and_the_lengths() -> None:
    jobs = trace_jobs(TRACE)
    assert [job.arrival for job in jobs] == pytest.approx([0, 0.052, 2])
    assert [(job.input_tokens, job.output_tokens, job.size) for job in jobs] == [
        (4808, 10, 1),
        (3180, 8, 1),
        (110, 27, 1),
    ]
    assert jobs[2].tokens == 137


def test_a_trace_can_be_cut_and_stretched_to_a_rate() -> None:
    assert len(trace_jobs(TRACE, limit=2)) == 2
    jobs = trace_jobs(TRACE, rate=0.1)
    assert [job.arrival for job in jobs] == pytest.approx([0, 0.52, 20])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "no jobs"),
        (["a,b,c"], "line 1 of the trace is not its header"),
        (TRACE[:1], "no jobs"),
        ([*TRACE[:2], "yesterday,1,2"], "line 3 of the trace: 'yesterday' is no time"),
        ([*TRACE[:2], "2023-11-16 18:17:05,1"], "line 3 of the trace has 2 fields"),
        ([*TRACE[:2], "2023-11-16 18:17:05,-1,2"], "line 3 of the trace: '-1' is no number of tokens"),
        ([*TRACE[:2], "2023-11-16 18:17:05,1,1e3"], "line 3 of the trace: '1e3' is no number of tokens"),
        ([*TRACE[:2], "2023-11-16 18:17:05,1," + "9" * 5000], "line 3 of the trace: '9999"),
        ([*TRACE[:2], "2023-11-16 18:17:01,1,2"], "line 3 of the trace is earlier"),
        ([*TRACE[:2], "2023-11-16 18:17:05+00:00,1,2"], "line 3 of the trace has another kind of time zone"),
    ],
)
def test_a_bad_trace_is_refused_with_the_number_of_its_line(lines: list[str], told: str) -> None:
    with pytest.raises(ClusterInvalid, match=told) as raised:
        trace_jobs(lines)
    assert "\n" not in str(raised.value)


def test_a_rate_that_no_jobs_can_have_is_refused() -> None:
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ClusterInvalid, match="arrival rate"):
            poisson_jobs(rate, 10, rng())
    with pytest.raises(ClusterInvalid, match="all arrive at once"):
        trace_jobs([*TRACE[:2], TRACE[1]], rate=1.0)


def test_trace_lengths_can_come_at_random_and_trace_times_with_exponential_sizes() -> None:
    jobs = trace_jobs(TRACE)
    at_random = with_poisson_arrivals(jobs, 5.0, rng())
    assert [job.input_tokens for job in at_random] == [4808, 3180, 110]
    assert [job.arrival for job in at_random] == sorted(job.arrival for job in at_random)
    assert at_random[0].arrival > 0
    exponential = with_exponential_sizes(jobs, rng())
    assert [job.arrival for job in exponential] == [job.arrival for job in jobs]
    assert {(job.input_tokens, job.output_tokens) for job in exponential} == {(2699, 15)}
    assert len({job.size for job in exponential}) == 3
