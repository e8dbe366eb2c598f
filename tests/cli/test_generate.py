"""Prompts from anywhere, and answers as they come."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cli.screen import Screen
from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import Outcome, swarm
from tests.swarm.runs import OPTIONS

PROMPT = "The list type"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled one, with a chat template that knows no system."""
    path = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(str(files("swarm_node") / "demo_model"), path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path


@pytest.fixture(scope="module")
def local(model: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    with LocalSwarm(str(model), OPTIONS, warm_node) as local:
        local.start([Span(0, 3), Span(3, 6)])
        yield local


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    return AutoTokenizer.from_pretrained(model)


@pytest.fixture(scope="module")
def plain(model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)


def answer_to(plain: Any, tokenizer: Any, prompt: str, *, special: bool = True, **options: Any) -> str:
    """What plain transformers says; ``special`` tokens go before a prompt that no template has made."""
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=special)
    torch.manual_seed(options.pop("seed", 0))
    output = plain.generate(**inputs, max_new_tokens=24, pad_token_id=0, **{"do_sample": False, **options})
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def command(model: Path, local: LocalSwarm, *arguments: object) -> list[str]:
    given = [
        "generate", "--model", model, "--initial-peers", local.address, "--dtype", "float32", "--max-new-tokens", 24,
        *arguments,
    ]  # fmt: skip
    return [str(argument) for argument in given]


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Standard input is a pipe with ``data`` in it."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(os.fdopen(reading, "rb")))


@pytest.mark.parametrize("dash", [("-",), (), ("--file", "-")])
def test_the_prompt_may_come_through_a_pipe(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, local: LocalSwarm,
    plain: Any, tokenizer: Any, dash: tuple[str, ...],
) -> None:  # fmt: skip
    piped(monkeypatch, PROMPT.encode() + b"\n")
    outcome = swarm(capfd, *command(model, local, *dash))
    assert outcome.out == answer_to(plain, tokenizer, PROMPT) + "\n"


def test_the_prompt_may_be_in_a_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, model: Path, local: LocalSwarm, plain: Any, tokenizer: Any
) -> None:
    (tmp_path / "prompt").write_text(f"{PROMPT}\n")
    outcome = swarm(capfd, *command(model, local, "--file", tmp_path / "prompt"))
    assert outcome.out == answer_to(plain, tokenizer, PROMPT) + "\n"


def test_the_answer_ends_before_the_first_of_several_stop_strings(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, plain: Any, tokenizer: Any
) -> None:
    whole = answer_to(plain, tokenizer, PROMPT)
    early, late = whole[20:23], whole[30:33]
    outcome = swarm(capfd, *command(model, local, PROMPT, "--stop", late, "--stop", early))
    assert outcome.out == whole[: min(whole.index(early), whole.index(late))] + "\n"


def test_beams_end_before_a_stop_string_too(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, plain: Any, tokenizer: Any
) -> None:
    whole = answer_to(plain, tokenizer, PROMPT, num_beams=2)
    stop = whole[20:24]
    outcome = swarm(capfd, *command(model, local, PROMPT, "--num-beams", 2, "--stop", stop, "--json"))
    assert stop not in json.loads(outcome.out)["text"]


def test_what_the_system_says_goes_before_the_prompt_where_a_template_knows_no_system(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, plain: Any, tokenizer: Any
) -> None:
    outcome = swarm(capfd, *command(model, local, "What is a list?", "--system", "Be brief."))
    chat = "user: Be brief.\n\nWhat is a list?\nassistant:"
    assert outcome.out == answer_to(plain, tokenizer, chat, special=False) + "\n"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (("--top-k", 0, "--temperature", 0.9), {"top_k": 0, "temperature": 0.9}),
        (("--min-p", 0.2), {"min_p": 0.2}),
        (("--top-p", 0.8, "--repetition-penalty", 1.2), {"top_p": 0.8, "repetition_penalty": 1.2}),
    ],
)
def test_seeded_text_is_what_transformers_draws(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, plain: Any, tokenizer: Any,
    given: tuple[object, ...], options: dict[str, Any],
) -> None:  # fmt: skip
    outcome = swarm(capfd, *command(model, local, PROMPT, "--seed", 2**40, *given))
    assert outcome.out == answer_to(plain, tokenizer, PROMPT, seed=2**40, do_sample=True, **options) + "\n"


def test_seed_minus_1_draws_anew_each_time(capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm) -> None:
    texts = {swarm(capfd, *command(model, local, PROMPT, "--seed", -1, "--temperature", 2.0)).out for _ in range(2)}
    assert len(texts) == 2


def refused(capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, *arguments: object) -> Outcome:
    outcome = swarm(capfd, *command(model, local, *arguments))
    assert outcome.code == 2
    assert outcome.out == ""
    return outcome


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", 2**64), ("--seed", -2), ("--temperature", "1e-45"), ("--temperature", "nan"),
        ("--temperature", "inf"), ("--temperature", -1), ("--top-p", "nan"), ("--min-p", 2), ("--top-k", -1),
        ("--repetition-penalty", "inf"), ("--timeout", "nan"), ("--num-beams", 2000), ("--threads", 100000),
    ],
)  # fmt: skip
def test_a_number_that_no_text_can_come_of_is_refused_in_one_line(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm, arguments: tuple[object, ...]
) -> None:
    assert str(arguments[0]) in refused(capfd, model, local, PROMPT, *arguments).complaint


def test_a_prompt_that_is_no_utf_8_is_refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, local: LocalSwarm
) -> None:
    assert "not UTF-8" in refused(capfd, model, local, "caf\udce9").complaint
    piped(monkeypatch, b"caf\xe9")
    assert "not UTF-8 (byte 4)" in refused(capfd, model, local, "-").complaint


def test_a_prompt_that_begins_with_a_dash_is_told_how_to_be_given(
    capfd: pytest.CaptureFixture[str], model: Path, local: LocalSwarm
) -> None:
    assert "put -- before" in refused(capfd, model, local, "-5 + 3").complaint


def test_two_prompts_are_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, model: Path, local: LocalSwarm
) -> None:
    assert "not both" in refused(capfd, model, local, PROMPT, "--file", tmp_path / "prompt").complaint


def test_a_file_that_is_not_there_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, model: Path, local: LocalSwarm
) -> None:
    assert "nowhere cannot be read" in refused(capfd, model, local, "--file", tmp_path / "nowhere").complaint


def test_characters_of_a_script_without_spaces_are_shown_as_soon_as_they_are_whole(
    capfd: pytest.CaptureFixture[str], tokenizer: Any
) -> None:
    text = "吾輩は猫である。ไม่มีชื่อ"
    screen = Screen(tokenizer, show=True)
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        screen.push(token)
        whole = tokenizer.decode(screen.token_ids).rstrip("\N{REPLACEMENT CHARACTER}")
        assert screen.text == whole
    assert capfd.readouterr().out == text


def as_process(
    arguments: list[str], environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})}, timeout=120, check=False, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_whoever_has_read_enough_ends_the_command_quietly(model: Path, local: LocalSwarm) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = as_process(command(model, local, PROMPT), stdout=writing)
    os.close(writing)
    assert ended.stderr == b""
    assert ended.returncode == 141


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line(model: Path, local: LocalSwarm) -> None:
    with open("/dev/full", "w") as full:
        ended = as_process(command(model, local, PROMPT), stdout=full)
    assert ended.stderr.decode().splitlines() == [
        "error: the output cannot be written: No space left on device; make room, or send it elsewhere"
    ]
    assert ended.returncode == 1


@pytest.mark.slow
def test_an_output_of_few_characters_shows_the_others_by_number(model: Path, local: LocalSwarm) -> None:
    given = command(model, local, "--token-ids", "5", "--temperature", 50, "--top-k", 0, "--seed", 1)
    ended = as_process(given, {"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert ended.stderr == b""
    assert ended.returncode == 0
    assert ended.stdout.isascii()
