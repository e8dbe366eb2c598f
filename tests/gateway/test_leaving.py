"""Who leaves, in line, while his prompt is computed or in the middle of the answer: nodes know within a second.

The swarm of these tests has room for one long answer at a time.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import torch

from routing import Span
from swarm_node.local_swarm import LocalSwarm, NodeProcess
from swarm_node.model import ModelSource
from swarm_node.program import Program
from tests.gateway.serving import GatewayProcess
from tests.gateway.test_chat_completions import MESSAGES, plain, words
from tests.scraping import free_port, scrape
from tests.swarm.runs import OPTIONS, thirds

SECONDS = 1.0
ROOM = 520
"""Tokens of cache that each node has: for one LONG answer, not for two."""
LONG: dict[str, Any] = {"model": "chatty", "messages": MESSAGES, "max_tokens": 450, "stream": True}
LONG_PROMPT = [{"role": "user", "content": "a b c d " * 110}]


@pytest.fixture(scope="module")
def small(chat_model: Path, warm_node: Program) -> Iterator[tuple[LocalSwarm, list[int]]]:
    """Two nodes, and the ports of their metrics."""
    footprint = ModelSource.open(str(chat_model)).footprint(torch.float32)
    memory = f"{3 * (footprint.block_bytes + ROOM * footprint.token_bytes)}B"
    ports = [free_port(), free_port()]
    with LocalSwarm(str(chat_model), OPTIONS, warm_node) as swarm:
        for span, port in zip((Span(0, 3), Span(3, 6)), ports, strict=True):
            swarm.start([span], ("--memory", memory, "--metrics-port", str(port)))
        yield swarm, ports


@contextmanager
def before(swarm: LocalSwarm, model: Path, program: Program, logs: Path, *options: str) -> Iterator[GatewayProcess]:
    """A gateway before these nodes."""
    gateway = GatewayProcess(program, model, swarm.address, logs, *options)
    try:
        gateway.await_ready()
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def gateway(
    small: tuple[LocalSwarm, list[int]],
    chat_model: Path,
    warm_gateway: Program,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayProcess]:
    with before(small[0], chat_model, warm_gateway, tmp_path_factory.mktemp("gateway") / "serve") as process:
        yield process


@contextmanager
def asked(gateway: GatewayProcess, **body: Any) -> Iterator[socket.socket]:
    """A socket on which a chat was asked for; it is closed at the end, as when a client dies."""
    parts = urlsplit(gateway.url)
    text = json.dumps({**LONG, **body}).encode()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(text)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + text)
        yield connection


def read_until(connection: socket.socket, wanted: bytes) -> None:
    came = b""
    while wanted not in came:
        assert b"[DONE]" not in came and b'"error"' not in came, came
        part = connection.recv(65536)
        assert part, came
        came += part


def wait_for(ports: list[int], what: Callable[[dict[str, float]], bool], seconds: float) -> None:
    """Until it is so at each of the nodes."""
    until = time.monotonic() + seconds
    while not all(what(scrape(port)) for port in ports):
        assert time.monotonic() < until, [scrape(port) for port in ports]
        time.sleep(0.005)


def running(node: dict[str, float]) -> bool:
    return node["swarm_node_sessions_running"] > 0


def waiting(node: dict[str, float]) -> bool:
    return node["swarm_node_sessions_waiting"] > 0


def free(node: dict[str, float]) -> bool:
    return not running(node) and not waiting(node) and node["swarm_node_free_places"] == node["swarm_node_places"]


@pytest.mark.parametrize("when", ["in prefill", "in decode"])
def test_places_of_who_leaves_are_free_within_a_second(
    gateway: GatewayProcess, small: tuple[LocalSwarm, list[int]], when: str
) -> None:
    ports = small[1]
    prompt = {"messages": LONG_PROMPT, "max_tokens": 20} if when == "in prefill" else {}
    with asked(gateway, **prompt) as connection:
        if when == "in prefill":
            wait_for(ports, running, 10)
        else:
            read_until(connection, b'"content":" ')
    wait_for(ports, free, SECONDS)


def test_who_leaves_the_line_stands_in_it_no_more(gateway: GatewayProcess, small: tuple[LocalSwarm, list[int]]) -> None:
    ports = small[1]
    with asked(gateway) as first:
        read_until(first, b'"content":" ')
        with asked(gateway):
            wait_for(ports, waiting, 10)
        wait_for(ports, lambda node: not waiting(node), SECONDS)
        read_until(first, b"[DONE]")
    wait_for(ports, free, SECONDS)


def test_a_full_swarm_is_429_and_says_when_to_come_back(
    gateway: GatewayProcess,
    small: tuple[LocalSwarm, list[int]],
    chat_model: Path,
    warm_gateway: Program,
    tmp_path: Path,
) -> None:
    with before(small[0], chat_model, warm_gateway, tmp_path / "serve", "--timeout", "0") as impatient:
        client = openai.OpenAI(base_url=impatient.url, api_key="-", max_retries=0, timeout=60)
        with asked(gateway) as first:
            read_until(first, b'"content":" ')
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(**{**LONG, "stream": False})
            assert refused.value.code == "swarm_full"
            assert float(refused.value.response.headers["retry-after"]) > 0


@pytest.mark.slow
def test_a_stream_goes_on_in_the_same_words_when_a_node_of_its_chain_is_killed(
    chat_model: Path, warm_node: Program, warm_gateway: Program, plain_model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    with LocalSwarm(str(chat_model), OPTIONS, warm_node) as swarm, ExitStack() as stack:
        middle: list[tuple[int, NodeProcess]] = []
        for span in (*thirds(6), thirds(6)[1]):
            port = free_port()
            (node,) = swarm.start([span], ("--metrics-port", str(port)))
            if span == thirds(6)[1]:
                middle.append((port, node))
        gateway = stack.enter_context(before(swarm, chat_model, warm_gateway, tmp_path / "serve"))
        client = openai.OpenAI(base_url=gateway.url, api_key="-", max_retries=0, timeout=60)
        came = ""
        for chunk in client.chat.completions.create(**{**LONG, "max_tokens": 200, "temperature": 0}):
            came += chunk.choices[0].delta.content or "" if chunk.choices else ""
            for port, node in middle if came else ():
                if running(scrape(port)):
                    node.kill()
                    middle = []
                    break
        assert not middle, "nobody was killed"
    assert came == words(tokenizer, plain(plain_model, tokenizer, 200, do_sample=False))
