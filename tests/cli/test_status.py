"""``swarm status`` of a swarm in which nodes serve two models, by somebody who has the files of neither."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from rich.console import Console, RenderableType
from trio.testing import MockClock

from cli.status import Look, _next, _watch
from routing import Span
from routing.errors import PeerSilent
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import swarm
from tests.models import make_model
from tests.swarm.runs import OPTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models in folders of these names, in a directory whose name is nobody's business."""
    secret = tmp_path_factory.mktemp("secret")
    return {kind: make_model(kind, secret / kind) for kind in ("llama", "gpt2")}


@pytest.fixture(scope="module")
def llama(models: dict[str, Path], warm_node: Program) -> Iterator[LocalSwarm]:
    """Two nodes that serve all of it together."""
    with LocalSwarm(str(models["llama"]), OPTIONS, warm_node) as local:
        local.start([Span(0, 2), Span(2, 4)])
        yield local


@pytest.fixture(scope="module")
def gpt2(models: dict[str, Path], llama: LocalSwarm, warm_node: Program) -> Iterator[LocalSwarm]:
    """One node in the same swarm that serves half of the other."""
    with LocalSwarm(str(models["gpt2"]), OPTIONS, warm_node) as local:
        local._spawn(Span(0, 2), ("--initial-peers", llama.address, "--new-model")).await_online()
        yield local


def test_without_a_model_it_lists_all_with_coverage_nodes_and_free_places(
    capfd: pytest.CaptureFixture[str], llama: LocalSwarm, gpt2: LocalSwarm
) -> None:
    outcome = swarm(capfd, "status", "--initial-peers", llama.address)
    head, first, second = outcome.out.splitlines()
    assert re.split(r"  +", head.strip()) == [
        "model", "fingerprint", "served", "blocks", "size", "nodes", "free places", "waiting",
    ]  # fmt: skip
    assert re.match(r"llama +[0-9a-f]{8} +every block +4 +\S+KiB +2 +[1-9]\d* +0 *$", first)
    assert re.match(r"gpt2 +[0-9a-f]{8} +all but 2:4 +4 +\S+KiB +1 +0 +0 *$", second)


def test_programs_are_told_the_same_and_nobody_hears_where_a_model_lies(
    capfd: pytest.CaptureFixture[str], llama: LocalSwarm, gpt2: LocalSwarm
) -> None:
    outcome = swarm(capfd, "status", "--initial-peers", gpt2.address, "--json")
    first, second = json.loads(outcome.out)["models"]
    assert (first["model"], first["covered"], first["nodes"], first["missing"]) == ("llama", True, 2, [])
    assert (second["model"], second["covered"], second["nodes"], second["missing"]) == ("gpt2", False, 1, ["2:4"])
    assert first["architecture"] == "llama" and first["context_length"] == 512 and first["weights_dtype"] == "float32"
    assert first["size_bytes"] > 0 and first["free_places"] > 0 and first["revision"] is None
    assert "secret" not in outcome.out


@pytest.mark.parametrize("by", ["model", "fingerprint"])
def test_one_model_is_shown_to_somebody_who_has_none_of_its_files(
    capfd: pytest.CaptureFixture[str], llama: LocalSwarm, gpt2: LocalSwarm, by: str
) -> None:
    (_, about) = json.loads(swarm(capfd, "status", "--initial-peers", llama.address, "--json").out)["models"]
    outcome = swarm(capfd, "status", "--model", about[by][:12], "--initial-peers", llama.address)
    assert outcome.out.startswith("gpt2 · 4 blocks · 1 node")
    assert "blocks 2:4 are served by nobody" in outcome.out
    assert gpt2.nodes[0].peer_id[-8:] in outcome.out
    assert llama.nodes[0].peer_id[-8:] not in outcome.out


def test_looking_at_a_swarm_needs_neither_torch_nor_transformers_nor_the_hash_table(
    models: dict[str, Path], llama: LocalSwarm
) -> None:
    code = """if True:
        import sys
        from cli.main import app
        for model in ([], ["--model", "llama"], ["--model", sys.argv[1]]):
            try:
                app(args=["status", "--initial-peers", sys.argv[2], *model])
            except SystemExit as end:
                assert end.code == 0
        print("imported:", sorted({"torch", "transformers", "hivemind.dht"} & {*sys.modules}))
    """
    arguments = [sys.executable, "-c", code, str(models["llama"]), llama.address]
    looked = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert looked.stdout.endswith("imported: []\n")


def test_a_model_that_is_not_there_is_refused_with_those_that_are(
    capfd: pytest.CaptureFixture[str], llama: LocalSwarm, gpt2: LocalSwarm
) -> None:
    outcome = swarm(capfd, "status", "--model", "./no-such-model", "--initial-peers", llama.address)
    assert outcome.code == 1
    assert outcome.complaint.endswith("this swarm serves llama and gpt2")


def test_generate_without_a_model_asks_which_if_there_are_several(
    capfd: pytest.CaptureFixture[str], llama: LocalSwarm, gpt2: LocalSwarm
) -> None:
    for command in (("generate", "hello"), ("chat",)):
        outcome = swarm(capfd, *command, "--initial-peers", llama.address)
        assert outcome.code == 2
        assert "this swarm serves llama and gpt2" in outcome.complaint
        assert "--model llama" in outcome.complaint


def test_watching_shows_a_node_that_leaves(llama: LocalSwarm, gpt2: LocalSwarm) -> None:
    leaver = gpt2.start([Span(2, 4)])[0]
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "cli.main", "status", "--watch", "--model", "gpt2"]
    watch = subprocess.Popen(
        [*command, "--initial-peers", llama.address],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "70", "LINES": "14", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    with watch:
        try:
            seen = shown_until(screen, "", "every block is served")
            assert leaver.peer_id[-8:] in seen
            leaver.stop()
            seen = shown_until(screen, seen, "blocks 2:4 are served by nobody")
            seen = shown_until(screen, seen, " left ")
            assert f"- …{leaver.peer_id[-8:]}" in plain(seen)
        finally:
            watch.kill()
            os.close(screen)


def test_an_outage_ends_no_watching(capfd: pytest.CaptureFixture[str]) -> None:
    seen = looks(PeerSilent("nobody answers"), PeerSilent("nobody answers"), "a picture")
    assert trio.run(_next, seen, clock=MockClock(autojump_threshold=0)) == ({}, "a picture")
    assert capfd.readouterr().err.splitlines() == 2 * ["nobody answers; trying again"]


def test_in_a_terminal_the_last_picture_stays_while_nobody_answers() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=70, height=14)
    with pytest.raises(KeyboardInterrupt):
        trio.run(
            _watch, looks(PeerSilent("nobody answers"), KeyboardInterrupt()), "a picture", console,
            clock=MockClock(autojump_threshold=0),
        )  # fmt: skip
    shown = [line for line in plain(screen.getvalue()).split("\r") if line]
    assert "a picture\nnobody answers; trying again" in "\n".join(shown)


def looks(*outcomes: str | BaseException) -> Look:
    """Looks at a swarm that come out so, one after the other."""
    left = list(outcomes)

    async def look() -> tuple[dict[str, object], RenderableType]:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return {}, outcome

    return look


def shown_until(screen: int, seen: str, words: str, seconds: float = 30.0) -> str:
    """What the terminal has shown once it shows ``words``; the test fails if that takes longer."""
    until = time.monotonic() + seconds
    while words not in plain(seen):
        ready, _, _ = select.select([screen], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"no {words!r} in {plain(seen)[-2000:]}"
        seen += os.read(screen, 65536).decode()
    return seen


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
