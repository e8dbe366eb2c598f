"""The demo as a service: a swarm of this machine behind a URL, until Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import openai
import pytest

from process_counters import children, is_running


@pytest.mark.slow
def test_the_demo_serves_its_swarm_at_a_url_and_ends_it_at_ctrl_c() -> None:
    command = [sys.executable, "-m", "cli.main", "demo", "--serve", "--port", "0", "--nodes", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(found[1] for line in process.stdout if (found := re.search(r"and (http://\S+/v1)", line)))
        nodes = children({process.pid})
        with openai.OpenAI(base_url=url, api_key="none", timeout=60) as client:
            answer = client.completions.create(model="demo_model", prompt="When an exception", max_tokens=4)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert answer.usage is not None and answer.usage.completion_tokens == 4
    assert process.returncode == 0
    assert len(nodes) >= 2 and not any(is_running(pid) for pid in nodes)
