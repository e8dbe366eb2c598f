"""Only the threads whose speed matters compute in parallel, and what computed once leaves no helpers behind."""

from __future__ import annotations

import threading

import pytest
import torch
import trio

from routing.errors import ModelError
from swarm_node.process import computing_alone
from swarm_node.tasks import in_thread


def threads_of_another() -> int:
    """How many threads a thread that begins now computes with."""
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    return found[0]


def test_a_thread_computes_alone_while_others_do_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with computing_alone():
            assert torch.get_num_threads() == 1
            assert threads_of_another() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_number_that_was_chosen_meanwhile_stays() -> None:
    before = torch.get_num_threads()
    try:
        with computing_alone():
            chosen = threading.Thread(target=torch.set_num_threads, args=(5,))
            chosen.start()
            chosen.join()
        assert torch.get_num_threads() == threads_of_another() == 5
    finally:
        torch.set_num_threads(before)


def test_a_thread_for_one_call_ends_with_it() -> None:
    async def main() -> None:
        assert await in_thread(threading.current_thread) not in threading.enumerate()

    trio.run(main)


def test_an_error_in_such_a_thread_reaches_the_caller() -> None:
    def fail() -> None:
        raise ModelError("no weights here")

    async def main() -> None:
        with pytest.raises(ModelError, match="no weights here"):
            await in_thread(fail)

    trio.run(main)


def test_a_cancelled_call_does_not_wait_for_its_thread() -> None:
    go_on = threading.Event()

    async def main() -> None:
        with trio.move_on_after(0.05) as scope:
            await in_thread(go_on.wait)
        assert scope.cancelled_caught

    trio.run(main)
    go_on.set()
