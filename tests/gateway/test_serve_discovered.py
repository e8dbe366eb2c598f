"""``swarm serve`` without a model, in a swarm whose node has one from the Hub."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import FreshProgram, LoggedProcess
from tests.swarm.runs import OPTIONS
from tests.swarm_node.hub import REPOSITORY, serving

DEMO_MODEL = Path(__file__).parents[2] / "swarm_node" / "demo_model"
SERVE = FreshProgram((sys.executable, "-m", "cli.main", "serve"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes that start meanwhile find the demo model there, and keep what they download apart."""
    with serving(DEMO_MODEL) as hub:
        for name, value in (("HF_ENDPOINT", hub.address), ("HF_HUB_OFFLINE", "0"), ("HF_HOME", str(tmp_path / "home"))):
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.slow
def test_a_gateway_finds_loads_and_serves_the_model_of_its_swarm(hub: None, tmp_path: Path) -> None:
    with LocalSwarm(REPOSITORY, OPTIONS) as local:
        local.start([Span(0, 2), None])
        gateway = LoggedProcess(SERVE, ["--initial-peers", local.address, "--port", "0"], tmp_path / "serve")
        try:
            with openai.OpenAI(base_url=url_of(gateway), api_key="none", max_retries=0, timeout=60) as client:
                assert [model.id for model in client.models.list()] == [REPOSITORY]
                answer = client.completions.create(model=REPOSITORY, prompt="Once upon a time", max_tokens=8)
                assert answer.choices[0].text.strip()
                with pytest.raises(openai.NotFoundError):
                    client.completions.create(model="another", prompt="Once upon a time")
        finally:
            gateway.stop()


def url_of(gateway: LoggedProcess, seconds: float = 60.0) -> str:
    """Where it is ready; the test fails with its last words if it never is."""
    until = time.monotonic() + seconds
    while not gateway.output.startswith("ready at "):
        assert gateway.process.poll() is None, gateway.last_words
        assert time.monotonic() < until, gateway.last_words
        time.sleep(0.05)
    return gateway.output.split()[2]
