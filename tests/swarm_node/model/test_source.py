"""What a model is and costs, known before any weights are loaded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from routing.errors import ModelError, ModelNotFound, ModelUnsupported, NotADecoder, UsageError
from routing.span import Span
from swarm_node.model.footprint import Footprint, even_starts
from swarm_node.model.outline import read_outline
from swarm_node.model.probe import probe
from swarm_node.model.source import ModelSource
from swarm_node.wire import DtypeLike
from tests.models import ALSO, CONTEXT, EXACT, NOT_SPLIT, WRAPPERS, make_config, make_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "copy"))


def _open(directory: Path) -> ModelSource:
    return ModelSource.open(str(directory))


def _edit_config(directory: Path, **values: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_local_model_tells_what_it_is(llama: Path) -> None:
    source = _open(llama)
    assert (source.blocks, source.hidden_size, source.context_length) == (4, 48, CONTEXT)
    assert source.dtype is torch.float32
    assert source.tokenizer() is None
    assert re.fullmatch("[0-9a-f]{32}", source.fingerprint)
    assert source.generation_config.eos_token_id is None


@pytest.mark.parametrize("name", [*EXACT, *ALSO])
def test_the_footprint_of_a_block_is_what_its_weights_take(name: str, tmp_path: Path) -> None:
    config = make_config(name)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    shapes = probe(config)
    counts = [0] * len(shapes.parameters)
    for weight, parameter in model.named_parameters():
        if match := re.search(rf"(?:^|\.){shapes.list_name}\.(\d+)\.", weight):
            counts[int(match[1])] += parameter.numel()
    assert list(shapes.parameters) == counts
    assert all(shapes.token_elements)


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("llama", 2 * 2 * 12),
        ("qwen3", 2 * 2 * 16),
        ("falcon", 2 * 1 * 12),  # multi-query: one head
        ("gpt2", 2 * 48),
        ("deepseek_v3", 16 + 8),  # compressed keys and values, and one rotary part
    ],
)
def test_cache_bytes_per_token_are_what_the_model_itself_would_store(name: str, elements: int) -> None:
    shapes = probe(make_config(name))
    assert shapes.footprint(torch.bfloat16).token_bytes == 2 * elements
    assert shapes.footprint(torch.float32) == Footprint(4 * max(shapes.parameters), 4 * elements)


def test_a_large_model_is_sized_without_memory_for_it() -> None:
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=8192,
        intermediate_size=28672,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
    )
    assert probe(config).footprint(torch.bfloat16) == Footprint(1_711_308_800, 2 * 2 * 8 * 128)


def test_hidden_states_are_as_wide_as_the_blocks_not_as_the_embeddings(tmp_path: Path) -> None:
    source = _open(make_model("opt", tmp_path))
    assert source.config.word_embed_proj_dim == 32
    assert source.hidden_size == 48


@pytest.mark.parametrize("given", [torch.bfloat16, "bfloat16", "torch.bfloat16"])
def test_dtypes_are_taken_as_torch_and_transformers_write_them(llama: Path, given: DtypeLike) -> None:
    assert _open(llama).resolve_dtype(given) is torch.bfloat16
    assert _open(llama).resolve_dtype("half") is torch.float16


@pytest.mark.parametrize("given", ["auto", None])
def test_the_dtype_of_itself_is_the_one_the_model_was_saved_in(llama: Path, given: DtypeLike) -> None:
    assert _open(llama).resolve_dtype(given) is torch.float32


@pytest.mark.parametrize("given", ["int4", "int8", "nn", torch.float64, 16])
def test_a_dtype_that_is_none_of_the_choices_is_refused_in_one_line(llama: Path, given: Any) -> None:
    with pytest.raises(UsageError) as refused:
        _open(llama).resolve_dtype(given)
    assert str(refused.value) == f"dtype '{given}' is unknown; choose one of auto, float32, bfloat16, float16"


# --- fingerprint


def test_equal_weights_have_one_fingerprint_wherever_they_lie(llama: Path, copy: Path) -> None:
    _edit_config(copy, transformers_version="4.0.0", _name_or_path="somewhere/else")
    assert _open(copy).fingerprint == _open(llama).fingerprint


def test_models_of_one_config_and_other_weights_differ(llama: Path, tmp_path: Path) -> None:
    other = make_model("llama", tmp_path, seed=1)
    assert (other / "config.json").read_text() == (llama / "config.json").read_text()
    assert _open(other).fingerprint != _open(llama).fingerprint


def test_models_of_equal_weights_and_another_config_differ(llama: Path, copy: Path) -> None:
    _edit_config(copy, rms_norm_eps=1e-3)
    assert _open(copy).fingerprint != _open(llama).fingerprint


def test_a_change_in_the_middle_of_a_large_file_shows(llama: Path, copy: Path) -> None:
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    middle = len(data) // 2
    data[middle - 40_000 : middle + 40_000] = bytes(80_000)
    weights.write_bytes(data)
    assert _open(copy).fingerprint != _open(llama).fingerprint


def test_the_names_of_weight_files_do_not_count(tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path, shard_size="60KB")
    before = _open(directory).fingerprint
    index = directory / "model.safetensors.index.json"
    text = index.read_text()
    for file in set(json.loads(text)["weight_map"].values()):
        (directory / file).rename(directory / f"x-{file}")
        text = text.replace(f'"{file}"', f'"x-{file}"')
    index.write_text(text)
    assert _open(directory).fingerprint == before


# --- what cannot be served


def test_a_directory_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="there is no directory /nowhere/at/all"):
        ModelSource.open("/nowhere/at/all")


def test_a_directory_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"has no config\.json"):
        _open(tmp_path)


def test_a_config_that_is_no_json_is_no_model(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelNotFound, match="not readable JSON"):
        _open(copy)


def test_a_directory_without_weights_is_no_model(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="no safetensors weights; give the directory of a whole model"):
        _open(copy)


def test_old_weights_that_are_not_safetensors_are_unsupported(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelUnsupported, match="convert it with save_pretrained"):
        _open(copy)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path, shard_size="60KB")
    missing = sorted(directory.glob("model-*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelNotFound, match=f"lacks {missing.name}"):
        _open(directory)


@pytest.mark.parametrize("cut", [4, 100, 5000])
def test_a_weight_file_that_is_cut_short_is_refused(copy: Path, cut: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(ModelError):
        _open(copy)


def test_a_config_of_an_unknown_model_type_is_unsupported(copy: Path) -> None:
    _edit_config(copy, model_type="from-the-future", architectures=None)
    with pytest.raises(ModelUnsupported, match="model type from-the-future"):
        _open(copy)


def test_code_that_comes_with_a_model_is_never_run(copy: Path) -> None:
    _edit_config(copy, model_type="own", auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (copy / "evil.py").write_text("raise SystemExit('code of the model was run')")
    with pytest.raises(ModelUnsupported):
        _open(copy)


def test_a_quantised_checkpoint_is_unsupported(copy: Path) -> None:
    _edit_config(copy, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelUnsupported, match="is quantised"):
        _open(copy)


@pytest.mark.parametrize("kind", ["bert", "roberta", "t5", "vit", "bart", "whisper"])
def test_a_model_that_does_not_generate_text_is_no_decoder(kind: str) -> None:
    with pytest.raises(NotADecoder, match=f"model type {kind} is not a causal decoder"):
        probe(AutoConfig.for_model(kind))


@pytest.mark.parametrize("name", NOT_SPLIT)
def test_a_model_whose_blocks_need_more_of_each_other_is_unsupported(name: str) -> None:
    with pytest.raises(ModelUnsupported, match=f"model type {name} is not supported"):
        probe(make_config(name))


def test_a_pointer_of_git_lfs_in_place_of_weights_is_told_apart_from_a_broken_file(copy: Path) -> None:
    (copy / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(ModelError, match="git lfs pull"):
        _open(copy)


def test_a_tokenizer_that_needs_code_of_its_own_says_so(copy: Path) -> None:
    (copy / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "tokenizer_class": "Own"})
    )
    with pytest.raises(ModelError, match="never run here"):
        _open(copy).tokenizer()


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_a_model_sees_with_is_neither_read_nor_fetched(name: str, tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    names = {tensor for shard in source.shards for tensor in shard.tensors()}
    wanted = {tensor for span in (None, Span(0, source.blocks)) for tensor in source.needed_tensors(span)}
    assert source.shapes.beside
    assert names - wanted == {
        tensor for tensor in names if "visual" in tensor or "vision" in tensor or "mult" in tensor
    }
    assert wanted


@pytest.mark.parametrize(
    ("legal", "layers", "starts"),
    [
        ([0, 1, 2, 3], 4, (0, 1, 2, 3)),
        ([0, 2, 4], 6, (0, 2, 4)),
        ([0, 1, 2, 3, 4], 9, (0, 4)),  # the last five cannot be cut, so the others are put together
        ([0, 1, 2, 4, 5], 7, (0, 2, 4, 5)),
        ([0], 5, (0,)),
    ],
)
def test_layers_that_cannot_be_cut_are_one_block_and_the_others_are_as_large(
    legal: list[int], layers: int, starts: tuple[int, ...]
) -> None:
    assert even_starts(legal, layers) == starts


def test_blocks_of_several_layers_are_known_by_the_layers_they_have(tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model("glm_moe_dsa_shared", tmp_path)))
    assert source.blocks == source.card.blocks == 3
    assert source.shapes.layers(Span(1, 3)) == Span(2, 6)
    numbers = [re.findall(r"layers\.(\d+)", name) for name in source.needed_tensors(Span(1, 2))]
    assert {int(number) for [number] in numbers} == {2, 3}
    assert source.footprint(torch.float32).block_bytes == 4 * max(
        sum(source.shapes.parameters[start : start + 2]) for start in (0, 2, 4)
    )
    assert read_outline(str(tmp_path)) is None  # what takes transformers to know


def test_hidden_states_of_several_streams_travel_as_one(tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model("hy_v4", tmp_path)))
    assert source.hidden_size == 2 * 48
    assert source.shapes.starts == (0, 1, 3, 4)
