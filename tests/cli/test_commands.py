"""What the commands print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo import PROMPT
from cli.main import spread_peers
from cli.sizes import parse_bytes
from routing import Span
from routing.errors import UsageError
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import swarm
from tests.models import make_model
from tests.swarm.runs import OPTIONS, expected


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def local(llama: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    with LocalSwarm(str(llama), OPTIONS, warm_node) as local:
        local.start([Span(0, 2), Span(2, 4)])
        yield local


def test_generate_streams_token_ids_when_there_is_no_tokenizer(
    capfd: pytest.CaptureFixture[str], llama: Path, local: LocalSwarm
) -> None:
    outcome = swarm(
        capfd, "generate", "--model", llama, "--initial-peers", local.address, "--token-ids", "1,2,3",
        "--ignore-eos", "--max-new-tokens", "7",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.out.strip() == ",".join(map(str, expected(llama, [1, 2, 3], 7)))
    assert outcome.error == ""


def test_generate_for_machines_tells_text_tokens_and_route(
    capfd: pytest.CaptureFixture[str], llama: Path, local: LocalSwarm
) -> None:
    outcome = swarm(
        capfd, "generate", "--model", llama, "--initial-peers", local.address, "--token-ids", "1,2,3",
        "--max-new-tokens", "7", "--json",
    )  # fmt: skip
    answer = json.loads(outcome.out)
    assert answer["token_ids"] == expected(llama, [1, 2, 3], 7)
    assert answer["text"] is None
    assert answer["prompt_tokens"] == 3
    assert answer["tokens_per_second"] > 0 and answer["seconds"] > 0
    assert answer["tokens_per_round_trip"] >= 1
    assert [hop["peer"] for hop in answer["route"]] == [node.peer_id for node in local.nodes]
    assert [(hop["start"], hop["end"]) for hop in answer["route"]] == [(0, 2), (2, 4)]


def test_status_for_machines_tells_what_every_node_serves(
    capfd: pytest.CaptureFixture[str], llama: Path, local: LocalSwarm
) -> None:
    status = json.loads(swarm(capfd, "status", "--model", llama, "--initial-peers", local.address, "--json").out)
    assert status["coverage"] == [1, 1, 1, 1]
    assert status["missing"] == []
    assert {node["peer"] for node in status["nodes"]} == {node.peer_id for node in local.nodes}
    # A record may be a second older than the last session, so not every token need be free in it.
    assert all(0 < node["free_tokens"] <= node["cache_tokens"] for node in status["nodes"])
    assert all(node["free_slots"] > 0 and node["memory_bytes"] > 0 for node in status["nodes"])


def test_status_for_people_names_every_node(capfd: pytest.CaptureFixture[str], llama: Path, local: LocalSwarm) -> None:
    outcome = swarm(capfd, "status", "--model", llama, "--initial-peers", local.address)
    assert "every block is served" in outcome.out
    for node in local.nodes:
        assert node.peer_id[-8:] in outcome.out


@pytest.mark.slow
def test_the_demo_streams_text_through_three_nodes_and_ends_them(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = swarm(capfd, "demo", "--max-new-tokens", "24")
    assert outcome.code == 0
    assert outcome.out.strip().startswith(PROMPT)
    assert len(outcome.out.split()) > 8
    assert outcome.error.count(": process ") == 3
    assert "tokens, " in outcome.error


def test_several_peers_may_follow_one_option() -> None:
    given = ["generate", "--initial-peers", "/a/p2p/1", "/b/p2p/2", "prompt", "--initial-peers", "odd", "--json"]
    spread = spread_peers(given)
    assert spread == [
        "generate", "--initial-peers", "/a/p2p/1", "--initial-peers", "/b/p2p/2", "prompt",
        "--initial-peers", "odd", "--json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "count"),
    [("6GiB", 6 * 2**30), ("800MB", 800 * 10**6), ("1.5g", 15 * 10**8), ("512", 512), ("2 kib", 2048)],
)
def test_memory_is_read_as_people_write_it(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1GB", "0", "6 gallons", "nan"])
def test_what_is_no_memory_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)
