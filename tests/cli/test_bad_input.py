"""What cannot work is refused in one clear line, with exit code 2 for bad usage and 1 for the rest."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel

from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import swarm
from tests.models import make_model

NOBODY = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def half_served(llama: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """A swarm in which nobody serves blocks 2:4."""
    with LocalSwarm(str(llama), ("--threads", "1"), warm_node) as local:
        local.start([Span(0, 2)])
        yield local


def test_an_unknown_model(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = swarm(capfd, "node", "--model", tmp_path / "nowhere", "--new-swarm")
    assert outcome.code == 1
    assert "nowhere" in outcome.complaint


def test_a_directory_that_is_no_model(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = swarm(capfd, "node", "--model", tmp_path, "--new-swarm")
    assert outcome.code == 1
    assert "config.json" in outcome.complaint


def test_a_model_that_is_no_decoder(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50)
    BertModel(config).save_pretrained(tmp_path)
    outcome = swarm(capfd, "node", "--model", tmp_path, "--new-swarm")
    assert outcome.code == 1
    assert "bert" in outcome.complaint


def test_blocks_out_of_range(capfd: pytest.CaptureFixture[str], llama: Path, tmp_path: Path) -> None:
    outcome = swarm(
        capfd, "node", "--model", llama, "--new-swarm", "--blocks", "2:9", "--host", "127.0.0.1",
        "--identity", tmp_path / "key",
    )  # fmt: skip
    assert outcome.code == 2
    assert "0:4" in outcome.complaint


def test_blocks_that_are_no_range(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "node", "--model", llama, "--new-swarm", "--blocks", "two")
    assert outcome.code == 2
    assert "START:END" in outcome.complaint


def test_memory_too_small_for_one_block(capfd: pytest.CaptureFixture[str], llama: Path, tmp_path: Path) -> None:
    outcome = swarm(
        capfd, "node", "--model", llama, "--new-swarm", "--memory", "10KB", "--host", "127.0.0.1",
        "--identity", tmp_path / "key",
    )  # fmt: skip
    assert outcome.code == 1
    assert "--memory" in outcome.complaint


def test_memory_that_is_no_size(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "node", "--model", llama, "--new-swarm", "--memory", "lots")
    assert outcome.code == 2
    assert "6GiB" in outcome.complaint


def test_a_port_that_is_taken(capfd: pytest.CaptureFixture[str], llama: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        outcome = swarm(
            capfd, "node", "--model", llama, "--new-swarm", "--host", "127.0.0.1", "--port", port,
            "--identity", tmp_path / "key",
        )  # fmt: skip
    assert outcome.code == 1
    assert str(port) in outcome.complaint


def test_an_identity_file_that_is_none(capfd: pytest.CaptureFixture[str], llama: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"not a key")
    outcome = swarm(capfd, "node", "--model", llama, "--new-swarm", "--identity", key)
    assert outcome.code == 1
    assert str(key) in outcome.complaint


def test_an_identity_that_another_node_uses(
    capfd: pytest.CaptureFixture[str], llama: Path, half_served: LocalSwarm
) -> None:
    outcome = swarm(capfd, "node", "--model", llama, "--new-swarm", "--identity", half_served.nodes[0].identity)
    assert outcome.code == 1
    assert "another node" in outcome.complaint


def test_a_node_without_peers_and_without_a_new_swarm(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "node", "--model", llama)
    assert outcome.code == 2
    assert "--new-swarm" in outcome.complaint


def test_a_further_model_for_a_swarm_that_nobody_named(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "node", "--model", llama, "--new-model")
    assert outcome.code == 2
    assert "--initial-peers" in outcome.complaint


def test_a_node_that_is_to_join_and_not_to_join(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "node", "--model", llama, "--new-swarm", "--initial-peers", NOBODY)
    assert outcome.code == 2
    assert "--new-swarm joins nobody" in outcome.complaint


@pytest.mark.parametrize("command", ["node", "generate", "status"])
def test_a_peer_that_cannot_be_reached(
    capfd: pytest.CaptureFixture[str], llama: Path, tmp_path: Path, command: str
) -> None:
    extra = ("--token-ids", "1") if command == "generate" else ()
    if command == "node":
        extra = ("--host", "127.0.0.1", "--identity", tmp_path / "key")
    outcome = swarm(capfd, command, "--model", llama, "--initial-peers", NOBODY, *extra)
    assert outcome.code == 1
    assert "tcp/9" in outcome.complaint


@pytest.mark.parametrize(
    "address", ["nonsense", "/ip4/127.0.0.1/tcp/1", "/ip4/300.0.0.1/tcp/1/p2p/xyz", "localhost:80"]
)
def test_a_malformed_peer_address(capfd: pytest.CaptureFixture[str], llama: Path, address: str) -> None:
    outcome = swarm(capfd, "status", "--model", llama, "--initial-peers", address)
    assert outcome.code == 2
    assert "/p2p/" in outcome.complaint


def test_a_prompt_longer_than_the_context(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(
        capfd, "generate", "--model", llama, "--initial-peers", NOBODY, "--token-ids", ",".join(["1"] * 510)
    )
    assert outcome.code == 2
    assert "context of 512" in outcome.complaint


@pytest.mark.parametrize("ids", ["1,x", "", "1,,2", "1,128"])
def test_token_ids_that_are_none(capfd: pytest.CaptureFixture[str], llama: Path, ids: str) -> None:
    outcome = swarm(capfd, "generate", "--model", llama, "--initial-peers", NOBODY, "--token-ids", ids)
    assert outcome.code == 2
    assert "token id" in outcome.complaint


def test_words_for_a_model_without_a_tokenizer(capfd: pytest.CaptureFixture[str], llama: Path) -> None:
    outcome = swarm(capfd, "generate", "hello", "--model", llama, "--initial-peers", NOBODY)
    assert outcome.code == 2
    assert "--token-ids" in outcome.complaint


def test_blocks_that_nobody_serves_are_named(
    capfd: pytest.CaptureFixture[str], llama: Path, half_served: LocalSwarm
) -> None:
    outcome = swarm(
        capfd, "generate", "--model", llama, "--initial-peers", half_served.address, "--token-ids", "1",
        "--timeout", "2",
    )  # fmt: skip
    assert outcome.code == 1
    assert outcome.error.splitlines()[-1].startswith("error: no node serves blocks 2:4")


@pytest.mark.parametrize("command", ["node", "generate", "status"])
def test_another_model_at_the_peer(
    capfd: pytest.CaptureFixture[str], half_served: LocalSwarm, tmp_path: Path, command: str
) -> None:
    other = make_model("llama", tmp_path / "other", seed=1)
    extra = ("--token-ids", "1", "--timeout", "2") if command == "generate" else ()
    if command == "node":
        extra = ("--host", "127.0.0.1", "--identity", tmp_path / "key")
    outcome = swarm(capfd, command, "--model", other, "--initial-peers", half_served.address, *extra)
    assert outcome.code == 1
    assert "fingerprint" in outcome.complaint
