"""Join the fastest free chain."""

from routing.plan.jffc import Jffc
from tests.routing.clusters import chain


def test_a_job_takes_the_fastest_chain_with_room() -> None:
    dispatcher = Jffc([chain(3, capacity=1), chain(1, capacity=2)])

    assert [dispatcher.arrive(job) for job in "abcd"] == [1, 1, 0, None]
    assert dispatcher.waiting == 1


def test_waiting_jobs_start_in_the_order_they_came_on_whatever_chain_frees_first() -> None:
    dispatcher = Jffc([chain(1), chain(3)])
    for job in "abcd":
        dispatcher.arrive(job)

    assert [dispatcher.depart(1), dispatcher.depart(0), dispatcher.depart(1)] == ["c", "d", None]


def test_a_freed_chain_is_taken_again_before_slower_ones() -> None:
    dispatcher = Jffc([chain(1), chain(2), chain(3)])
    for job in "ab":
        dispatcher.arrive(job)
    dispatcher.depart(0)

    assert [dispatcher.arrive("c"), dispatcher.arrive("d")] == [0, 2]


def test_of_equally_fast_chains_the_first_is_taken() -> None:
    dispatcher = Jffc([chain(1), chain(1)])

    assert [dispatcher.arrive("a"), dispatcher.arrive("b")] == [0, 1]
