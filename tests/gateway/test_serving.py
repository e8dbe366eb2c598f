"""``swarm serve`` as a process: how it starts, what it does when clients or nodes leave, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import openai
import pytest

from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import swarm
from tests.gateway.serving import GatewayProcess, until_free

LONG: dict[str, Any] = {
    "model": "chatty",
    "messages": [{"role": "user", "content": "What is a list?"}],
    "max_tokens": 450,
    "stream": True,
}


@contextmanager
def raw_request(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A socket over which a chat was asked for; leaving closes it, as a client that dies does."""
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    text = json.dumps(body).encode()
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(text)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + text)
        yield connection


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    came = b""
    while wanted not in came:
        part = connection.recv(65536)
        assert part, came
        came += part
    return came


def written(gateway: GatewayProcess) -> float:
    """Tokens that it has written since it started."""
    with urlopen(gateway.url.removesuffix("/v1") + "/metrics") as page:
        told = page.read().decode()
    found = re.search(r'^swarm_gateway_tokens_total{kind="completion",.*} (\S+)$', told, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("stream", [True, False], ids=["a stream", "a whole answer"])
def test_a_client_that_closes_its_socket_frees_its_places_at_every_node(
    gateway: GatewayProcess, nodes: LocalSwarm, chat_model: Path, stream: bool
) -> None:
    before = written(gateway)
    with raw_request(gateway.url, {**LONG, "n": 8, "stream": stream}) as connection:
        if stream:
            read_until(connection, b'"content":" ')
        else:
            time.sleep(0.3)  # there is nothing to see
    # Places are free at once; nodes announce that within a second, and looking takes its time too.
    until_free(chat_model, nodes.address, 3.0)
    assert written(gateway) - before < 8 * 450, "it was not written to its end"


def test_a_client_that_leaves_in_prefill_frees_its_places_too(
    gateway: GatewayProcess, nodes: LocalSwarm, chat_model: Path
) -> None:
    long = [{"role": "user", "content": "a b c d " * 55}]
    with raw_request(gateway.url, {**LONG, "messages": long, "max_tokens": 10, "n": 8}) as connection:
        read_until(connection, b"")
    until_free(chat_model, nodes.address, 3.0)


@pytest.mark.slow
def test_a_lost_block_is_503_and_back_with_its_node(
    chat_model: Path, warm_node: Program, warm_gateway: Program, tmp_path: Path
) -> None:
    from tests.swarm.runs import OPTIONS, thirds

    with LocalSwarm(str(chat_model), OPTIONS, warm_node) as local:
        *_, last = local.start(thirds(6))
        gateway = GatewayProcess(warm_gateway, chat_model, local.address, tmp_path / "serve", "--timeout", "0")
        try:
            gateway.await_ready()
            client = openai.OpenAI(base_url=gateway.url, api_key="-", max_retries=0, timeout=60)
            last.kill()
            deadline = time.monotonic() + 20
            while True:
                with pytest.raises(openai.InternalServerError) as raised:
                    client.chat.completions.create(**{**LONG, "stream": False, "max_tokens": 4})
                if raised.value.code == "blocks_not_covered" or time.monotonic() > deadline:
                    break
            assert raised.value.status_code == 503
            assert raised.value.response.headers["retry-after"]
        finally:
            gateway.stop()


def test_ctrl_c_ends_it_without_a_word(
    chat_model: Path, nodes: LocalSwarm, warm_gateway: Program, tmp_path: Path
) -> None:
    gateway = GatewayProcess(warm_gateway, chat_model, nodes.address, tmp_path / "serve")
    gateway.await_ready()
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.process.wait(10) == 0
    assert gateway.last_words == "it said nothing"


def test_keys_come_from_the_environment(
    chat_model: Path, nodes: LocalSwarm, warm_gateway: Program, tmp_path: Path
) -> None:
    environment = {**os.environ, "SWARM_API_KEYS": "alices-key,bobs-own-key"}
    gateway = GatewayProcess(
        warm_gateway, chat_model, nodes.address, tmp_path / "serve", "--host", "0.0.0.0", environment=environment
    )
    try:
        gateway.await_ready()
        asks = [openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0) for key in ("bobs-own-key", "mallory")]
        assert [model.id for model in asks[0].models.list()] == ["chatty"]
        with pytest.raises(openai.AuthenticationError):
            asks[1].models.list()
    finally:
        gateway.stop()


PEER = ("--initial-peers", "/ip4/127.0.0.1/tcp/9/p2p/x")


def test_others_may_not_ask_without_keys(capfd: pytest.CaptureFixture[str], chat_model: Path) -> None:
    outcome = swarm(capfd, "serve", "--model", chat_model, *PEER, "--host", "0.0.0.0", "--port", "0")
    assert outcome.code == 2
    assert "--keys-file" in outcome.complaint


def test_a_port_in_use_is_told(capfd: pytest.CaptureFixture[str], chat_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        outcome = swarm(capfd, "serve", "--model", chat_model, *PEER, "--port", other.getsockname()[1])
    assert outcome.code == 1
    assert "choose another --port" in outcome.complaint


def test_a_host_that_is_none_is_told(capfd: pytest.CaptureFixture[str], tmp_path: Path, chat_model: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("alices-key\n")
    outcome = swarm(capfd, "serve", "--model", chat_model, *PEER, "--host", "no host", "--keys-file", keys)
    assert outcome.code == 2
    assert "is no address" in outcome.complaint
