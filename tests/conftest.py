"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from process_counters import children

if TYPE_CHECKING:
    from swarm_node.program import Program

NODE_MODULES = ("cli.main", "cli.node_lines", "swarm_node.compute", "swarm_node.node")
"""What ``swarm node`` imports, the last three when it is called."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background has it ignored, by what they start too; some press Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("any machine", deadline=None)  # one that is busy is no defect of ours
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Speeds that nodes measure are kept here, not among those of whoever runs the tests."""
    directory = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory))
        yield directory


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models gain nothing from several, and two workers with two each would wait for one another."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def warm_node(own_cache: Path) -> Iterator[Program]:
    """``swarm node`` as copies of a process that has imported everything: for LocalSwarm, unless a test is about how
    a node starts.
    """
    from swarm_node.warm_process import WarmProcess  # brings hivemind, for which tests of routing need not wait

    with WarmProcess(NODE_MODULES) as warm:
        yield warm.program("cli.main", "node")


@pytest.fixture
def started() -> Callable[[], set[int]]:
    """Tells which processes the test has started that still run; warm_node's is not one of them."""
    before = children({os.getpid()})
    return lambda: children({os.getpid()}) - before


@pytest.fixture(params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request: pytest.FixtureRequest) -> str:
    """Where a model runs: on a machine with a GPU, there too."""
    name: str = request.param
    return name
