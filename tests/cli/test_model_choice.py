"""Which model a command takes when its user names none; a name that leads to other weights is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from cli.model_choice import only_one
from routing import Card, PresentModel, Span
from routing.errors import ModelNotFound, UsageError, WrongModel
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model import ModelSource, open_present
from swarm_node.program import Program
from tests.cli.command import swarm as command
from tests.models import make_model
from tests.routing.nodes import node, swarm
from tests.swarm.runs import OPTIONS, expected
from tests.swarm_node.hub import COMMIT, REPOSITORY, serving


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def hub(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """REPOSITORY is that model; what is downloaded goes with the test."""
    with serving(directory) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        # For node processes, which read it when they start.
        for name, value in (("HF_ENDPOINT", hub.address), ("HF_HUB_OFFLINE", "0"), ("HF_HOME", str(tmp_path / "home"))):
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture
def card(hub: None) -> Card:
    """Of the model on the Hub, as an honest node tells it."""
    return ModelSource.open(REPOSITORY).card


def present(*cards: Card) -> PresentModel:
    return PresentModel(cards[0], cards[1:], swarm(node("alice", 0, 4)))


def test_a_card_says_what_the_files_are(card: Card, directory: Path) -> None:
    weights = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    assert card == Card(REPOSITORY, COMMIT, card.fingerprint, 4, 48, 512, "llama", "float32", weights)
    assert ModelSource.open(str(directory)).card == replace(card, name="llama", revision=None)


def test_the_only_model_is_taken(card: Card) -> None:
    there = [present(card)]
    assert only_one(there) is there[0]
    assert open_present(there[0]).fingerprint == card.fingerprint


def test_a_swarm_that_tells_of_no_model_wants_one_named() -> None:
    with pytest.raises(UsageError, match="--model"):
        only_one([])


def test_of_several_one_must_be_chosen() -> None:
    some = Card("somebody/model", COMMIT, "f" * 32, 4, 48, 512, "llama", "float32", 0)
    with pytest.raises(UsageError, match=r"serves somebody/model and other; .* --model somebody/model$"):
        only_one([present(some), present(replace(some, name="other", fingerprint="e" * 32))])


def test_two_of_one_name_are_told_apart_by_revision() -> None:
    some = Card("somebody/model", "a" * 40, "f" * 32, 4, 48, 512, "llama", "float32", 0)
    with pytest.raises(UsageError, match=r"--model somebody/model --revision a{40}$"):
        only_one([present(some), present(replace(some, revision="b" * 40, fingerprint="e" * 32))])


def test_a_hundred_models_do_not_fill_the_screen() -> None:
    some = Card("somebody/model", "a" * 40, "f" * 32, 4, 48, 512, "llama", "float32", 0)
    many = [present(replace(some, name=f"somebody/{number}", fingerprint=f"{number:032}")) for number in range(100)]
    with pytest.raises(UsageError, match="and 92 more"):
        only_one(many)


def test_a_model_that_nodes_have_from_a_directory_must_be_got_by_hand(card: Card) -> None:
    with pytest.raises(ModelNotFound, match="llama is from a directory"):
        open_present(present(replace(card, name="llama", revision=None)))


def test_a_name_that_leads_to_other_weights_is_refused(card: Card) -> None:
    with pytest.raises(WrongModel, match=f"{card.fingerprint} and not {'0' * 32}"):
        open_present(present(replace(card, fingerprint="0" * 32)))


def test_a_lying_name_does_not_keep_the_true_one_from_being_found(card: Card) -> None:
    lie = replace(card, name="somebody/no-such-model")
    assert open_present(present(lie, card)).name == REPOSITORY


@pytest.mark.slow
def test_generate_without_a_model_takes_the_only_one_from_the_hub(
    capfd: pytest.CaptureFixture[str], hub: None, directory: Path
) -> None:
    with LocalSwarm(REPOSITORY, OPTIONS) as local:
        local.start([Span(0, 4)])
        outcome = command(
            capfd, "generate", "--initial-peers", local.address, "--token-ids", "1,2,3", "--max-new-tokens", "7",
            "--ignore-eos", "--dtype", "float32",
        )  # fmt: skip
    assert outcome.code == 0, outcome.error
    assert outcome.out.strip() == ",".join(map(str, expected(directory, [1, 2, 3], 7)))


def test_generate_without_a_model_says_what_is_missing(
    capfd: pytest.CaptureFixture[str], directory: Path, warm_node: Program
) -> None:
    with LocalSwarm(str(directory), OPTIONS, warm_node) as local:
        local.start([Span(0, 4)])
        outcome = command(capfd, "generate", "--initial-peers", local.address, "--token-ids", "1,2,3")
    assert outcome.code == 1
    assert "llama is from a directory of its nodes" in outcome.complaint
    assert "--model DIRECTORY" in outcome.complaint
