"""What a model's files tell at once is what transformers makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from routing.errors import ModelNotFound
from swarm_node.model.directory import LocalFiles
from swarm_node.model.outline import _plain_config, read_outline
from swarm_node.model.probe import probe
from swarm_node.model.source import ModelSource, context_length
from tests.models import ALSO, EXACT, make_config, make_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("models") / "llama")


def test_a_plain_model_is_known_by_its_files(llama: Path) -> None:
    assert read_outline(str(llama)) == ModelSource.open(str(llama)).card


@pytest.mark.parametrize("name", [*EXACT, *ALSO])
def test_what_the_config_says_plainly_is_what_transformers_finds(name: str, tmp_path: Path) -> None:
    config = make_config(name)
    config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__]
    config.save_pretrained(tmp_path)
    plain = _plain_config(LocalFiles(tmp_path))
    if plain is not None:
        shapes = probe(config)
        assert plain["num_hidden_layers"] == len(shapes.parameters)
        assert plain["hidden_size"] == shapes.hidden_size
        assert plain["max_position_embeddings"] == context_length(config)


@pytest.mark.parametrize(
    "values",
    [
        {"architectures": ["BertForMaskedLM"]},
        {"architectures": []},
        {"num_hidden_layers": "4"},
        {"quantization_config": {}},
        {"text_config": {"num_hidden_layers": 2}},
    ],
)
def test_what_is_not_plain_is_for_transformers(values: dict[str, object], llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(llama, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | values))
    assert read_outline(str(copy)) is None
    (copy / "config.json").write_text("[" * 10**5)
    assert read_outline(str(copy)) is None


def test_a_model_without_its_weights_is_refused_as_ever(llama: Path, tmp_path: Path) -> None:
    shutil.copy(llama / "config.json", tmp_path)
    with pytest.raises(ModelNotFound, match="no safetensors weights"):
        read_outline(str(tmp_path))


def test_neither_torch_nor_transformers_is_imported_for_it(llama: Path) -> None:
    code = (
        "import sys; from swarm_node.client import open_client; from swarm_node.model import read_outline; "
        "read_outline(sys.argv[1]); print(sorted({'torch', 'transformers', 'hivemind.dht'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(llama)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
