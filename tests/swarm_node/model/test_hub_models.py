"""Models by their Hub id: only what is needed comes over the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

from routing.errors import ModelNotFound
from routing.span import Span
from swarm_node.compute.cache import Row
from swarm_node.compute.loading import load_span
from swarm_node.model.loading import load_ends
from swarm_node.model.source import ModelSource
from tests.models import make_model
from tests.swarm_node.hub import COMMIT, REPOSITORY, Hub, serving


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("models") / "llama", shard_size="60KB")


@pytest.fixture
def hub(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(directory) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield hub


def _weights(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(".safetensors")}


def test_opening_a_hub_model_downloads_no_weights(hub: Hub, directory: Path) -> None:
    source = ModelSource.open(REPOSITORY)
    assert source.fingerprint == ModelSource.open(str(directory)).fingerprint
    assert not _weights(hub.downloaded)
    assert {"config.json", "generation_config.json", "model.safetensors.index.json"} <= hub.downloaded


def test_a_revision_may_be_named(hub: Hub, directory: Path) -> None:
    assert ModelSource.open(REPOSITORY, COMMIT).fingerprint == ModelSource.open(str(directory)).fingerprint
    with pytest.raises(ModelNotFound, match=f"'{REPOSITORY}@v9' is neither a directory here nor a model on the Hub"):
        ModelSource.open(REPOSITORY, "v9")


def test_a_span_downloads_only_the_files_that_it_is_in(hub: Hub, directory: Path) -> None:
    span = Span(1, 2)
    source = ModelSource.open(REPOSITORY)
    blocks = load_span(source, span, dtype=torch.float32)
    needed = set(source.needed_tensors(span).values())
    assert _weights(hub.downloaded) == needed
    assert len(needed) < len(source.shards)
    local = load_span(ModelSource.open(str(directory)), span, dtype=torch.float32)
    hidden = torch.randn(3, source.hidden_size)
    outputs = [part.step([Row(part.new_cache(3), 3)], hidden) for part in (blocks, local)]
    assert torch.equal(*outputs)


def test_the_fingerprint_stays_when_some_files_are_there(hub: Hub) -> None:
    source = ModelSource.open(REPOSITORY)
    load_ends(source, dtype=torch.float32)
    assert ModelSource.open(REPOSITORY).fingerprint == source.fingerprint


def test_a_model_that_is_all_there_opens_without_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ModelSource.open(REPOSITORY)
    for shard in source.shards:
        source.files.path(shard.file)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert ModelSource.open(REPOSITORY).fingerprint == source.fingerprint


def test_an_unknown_model_is_not_found(hub: Hub) -> None:
    with pytest.raises(ModelNotFound, match="'nobody/nothing' is neither a directory here nor a model on the Hub"):
        ModelSource.open("nobody/nothing")


def test_a_hub_that_does_not_answer_is_told_apart(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotFound, match="the Hub does not answer"):
        ModelSource.open(REPOSITORY)


def test_a_hub_that_sends_whole_files_for_parts_is_not_believed(hub: Hub) -> None:
    hub.ignores_ranges = True
    with pytest.raises(ModelNotFound, match="the Hub sends no parts of"):
        ModelSource.open(REPOSITORY)
