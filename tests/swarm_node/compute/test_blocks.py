"""Loading a part of a model and stepping through it."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from routing.errors import ModelError, ProtocolError, UsageError
from routing.span import Span
from swarm_node.compute.cache import Row
from swarm_node.compute.lean import LEAN_MODELS
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan, CachePath
from swarm_node.model.fast_linear import PackedLinear
from swarm_node.model.loading import load_ends, remote_blocks
from swarm_node.model.quant import Quant
from swarm_node.model.source import ModelSource
from swarm_node.testing import prompt
from tests.models import make_model
from tests.swarm_node.yardstick import transformers_says


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def llama(tmp_path: Path) -> ModelSource:
    return ModelSource.open(str(make_model("llama", tmp_path / "llama")))


def _whole(source: ModelSource, path: CachePath | None = None) -> BlockSpan:
    return load_span(source, Span(0, source.blocks), dtype=torch.float32, path=path)


def _hidden(tokens: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def _once(blocks: BlockSpan, hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
    return blocks.step([Row(blocks.new_cache(len(hidden)), len(hidden))], hidden, span)


def _recompute_through(model: PreTrainedModel, blocks: BlockSpan) -> None:
    remote_blocks(model).forward_blocks = lambda hidden: torch.stack([_once(blocks, row) for row in hidden])


@pytest.mark.parametrize("name", ["llama", "bloom", "gemma3_text"])
def test_a_chain_may_enter_a_span_in_the_middle_and_leave_it_early(name: str, tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    whole = _whole(source)
    hidden = _hidden(5, source.hidden_size)
    through_all = _once(whole, hidden)
    by_parts = hidden
    for span in (Span(0, 1), Span(1, 3), Span(3, source.blocks)):
        by_parts = _once(whole, by_parts, span)
    torch.testing.assert_close(by_parts, through_all)
    middle = load_span(source, Span(1, 3), dtype=torch.float32)
    torch.testing.assert_close(_once(middle, hidden), _once(whole, hidden, Span(1, 3)))


@pytest.mark.parametrize("name", ["llama", "bloom", "gemma3_text", "phi3_long", "llama_dynamic"])
def test_blocks_that_were_taken_over_compute_what_they_would_have(name: str, tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    moved = load_span(source, Span(0, 3), dtype=torch.float32)
    cache = moved.new_cache(64)
    hidden = _hidden(40, source.hidden_size)
    before = moved.step([Row(cache, 35)], hidden[:35], Span(2, 3))
    moved.keep(Span(2, 3))
    moved.extend(load_span(source, Span(1, 2), dtype=torch.float32))
    moved.extend(load_span(source, Span(3, source.blocks), dtype=torch.float32))

    # A session goes on in the block that stayed, and new ones use all of them.
    after = moved.step([Row(cache, 5)], hidden[35:], Span(2, 3))
    expected = load_span(source, Span(1, source.blocks), dtype=torch.float32)
    torch.testing.assert_close(torch.cat([before, after]), _in_two_steps(expected, hidden, Span(2, 3)))
    torch.testing.assert_close(_once(moved, hidden), _once(expected, hidden))
    with pytest.raises(ProtocolError, match="0:1 are not among the hosted"):
        _once(moved, hidden, Span(0, 1))


def _in_two_steps(blocks: BlockSpan, hidden: torch.Tensor, span: Span) -> torch.Tensor:
    cache = blocks.new_cache(64)
    return torch.cat([blocks.step([Row(cache, len(part))], part, span) for part in (hidden[:35], hidden[35:])])


def test_blocks_that_a_span_drops_give_their_memory_back(llama: ModelSource) -> None:
    whole = _whole(llama)
    weights = weakref.ref(next(whole._layers[0].parameters()))
    whole.keep(Span(2, 4))
    assert weights() is None


def test_a_session_caches_only_the_blocks_it_goes_through(llama: ModelSource) -> None:
    blocks = _whole(llama)
    cache = blocks.new_cache(8)
    blocks.step([Row(cache, 3)], _hidden(3, llama.hidden_size), Span(1, 3))
    assert set(cache.token_elements()) == {1, 2}


def test_blocks_that_are_not_hosted_are_refused(llama: ModelSource) -> None:
    blocks = load_span(llama, Span(1, 3), dtype=torch.float32)
    with pytest.raises(ProtocolError, match="blocks 0:2 are not among the hosted 1:3"):
        _once(blocks, _hidden(1, llama.hidden_size), Span(0, 2))


def test_blocks_that_the_model_does_not_have_are_refused(llama: ModelSource) -> None:
    with pytest.raises(UsageError, match="which has blocks 0:4"):
        load_span(llama, Span(2, 5), dtype=torch.float32)


def test_a_hidden_state_of_another_width_is_refused(llama: ModelSource) -> None:
    blocks = _whole(llama)
    cache = blocks.new_cache(4)
    with pytest.raises(ProtocolError, match="shape"):
        blocks.step([Row(cache, 1)], _hidden(1, llama.hidden_size + 1))
    assert cache.length == 0


def test_a_step_that_outgrows_its_reservation_fails_and_changes_nothing(llama: ModelSource) -> None:
    blocks = _whole(llama)
    small, large = blocks.new_cache(2), blocks.new_cache(8)
    with pytest.raises(ValueError, match="reserved for 2"):
        blocks.step([Row(large, 3), Row(small, 3)], _hidden(6, llama.hidden_size))
    assert (small.length, large.length) == (0, 0)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *((name, CachePath.LEAN) for name in sorted(LEAN_MODELS)),
        ("gemma2", CachePath.FLATTENED),
        ("gpt_oss", CachePath.FLATTENED),
        ("bloom", CachePath.RECTANGLE),
        ("falcon", CachePath.RECTANGLE),
        ("deepseek_v3", CachePath.RECTANGLE),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_check_at_load_picks_the_path_that_fits(
    name: str, path: CachePath, dtype: torch.dtype, tmp_path: Path
) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    blocks = load_span(source, Span(1, 3), dtype=dtype)
    assert blocks.path is path
    assert blocks.dtype is dtype


def test_the_check_at_load_notices_attention_that_computes_something_else(
    llama: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swarm_node.compute import attention

    plain = attention._plain
    monkeypatch.setattr(attention, "_plain", lambda *args: plain(*args) * 1.1)
    assert _whole(llama).path is CachePath.RECTANGLE


def test_the_check_at_load_notices_lean_blocks_that_compute_something_else(
    llama: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swarm_node.compute import lean

    monkeypatch.setattr(lean, "_turned", lambda heads, turns: heads)
    assert _whole(llama).path is CachePath.FLATTENED


def test_blocks_whose_parts_have_other_names_run_as_they_are(
    llama: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    plain = LlamaRMSNorm.__init__

    def renamed(self: LlamaRMSNorm, hidden_size: int, eps: float = 1e-6) -> None:
        plain(self, hidden_size, eps)
        del self.variance_epsilon
        self.eps = eps

    def forward(self: LlamaRMSNorm, hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)

    monkeypatch.setattr(LlamaRMSNorm, "__init__", renamed)
    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)
    assert _whole(llama).path is CachePath.FLATTENED


@pytest.mark.parametrize(
    ("name", "path"),
    [*(("llama_dynamic", path) for path in CachePath), *(("phi3_long", path) for path in list(CachePath)[1:])],
)
def test_a_short_session_is_the_same_beside_a_long_one(name: str, path: CachePath, tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    blocks = _whole(source, path)
    short, long = _hidden(6, source.hidden_size, 1), _hidden(40, source.hidden_size, 2)
    alone = [_once(blocks, hidden) for hidden in (short, long)]
    together = blocks.step([Row(blocks.new_cache(64), 6), Row(blocks.new_cache(64), 40)], torch.cat([short, long]))
    torch.testing.assert_close(together, torch.cat(alone))
    torch.testing.assert_close(_once(blocks, short), alone[0])


@pytest.mark.parametrize("name", ["llama", "bloom", "gpt2", "opt", "gemma2", "falcon", "mpt"])
def test_generate_writes_what_transformers_writes_when_the_blocks_are_elsewhere(name: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    source = ModelSource.open(str(directory))
    ends = load_ends(source, dtype=torch.float32)
    _recompute_through(ends, _whole(source))
    tokens = prompt(9)
    made = ends.generate(torch.tensor([tokens]), max_new_tokens=8, do_sample=False, use_cache=False, pad_token_id=0)  # type: ignore[operator]
    assert made[0].tolist() == transformers_says(directory, [tokens], 8)[0][0]


def test_models_of_several_architectures_run_in_threads_at_once(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def compare(ends: PreTrainedModel, model: PreTrainedModel) -> None:
        try:
            for length in range(1, 12):
                ids = torch.tensor([prompt(length)])
                with torch.inference_mode():
                    torch.testing.assert_close(ends(ids, use_cache=False).logits, model(ids).logits)
        except Exception as error:  # noqa: BLE001  # whatever it was, the test is to fail
            failures.append(error)

    threads = []
    for name in ("llama", "falcon", "mistral"):
        directory = make_model(name, tmp_path / name)
        source = ModelSource.open(str(directory))
        ends = load_ends(source, dtype=torch.float32)
        _recompute_through(ends, _whole(source))
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        threads.append(threading.Thread(target=compare, args=(ends, model)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


@pytest.mark.parametrize("quant", list(Quant))
def test_packed_weights_do_not_lie_in_memory_twice(llama: ModelSource, quant: Quant) -> None:
    blocks = load_span(llama, Span(0, 2), dtype=torch.float32, quant=quant)
    gc.collect()
    assert str(llama.files.directory) not in Path("/proc/self/maps").read_text()
    assert blocks.span == Span(0, 2)


def test_the_ends_hold_no_block_and_a_span_holds_nothing_else(llama: ModelSource) -> None:
    ends = load_ends(llama, dtype=torch.float32)
    assert not [name for name, _ in ends.named_parameters() if ".layers." in name]
    blocks = load_span(llama, Span(1, 3), dtype=torch.float32)
    packed = [layer.weight for layer in blocks._model.modules() if isinstance(layer, PackedLinear)]
    parameters = sum(weight.numel() for weight in (*blocks._model.parameters(), *packed))
    assert parameters == 2 * llama.shapes.parameters[0]


def test_only_the_files_that_hold_a_part_are_opened(tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path, shard_size="60KB")
    source = ModelSource.open(str(directory))
    assert len(source.shards) > 4
    span = Span(1, 2)
    needed = set(source.needed_tensors(span).values())
    assert needed
    assert needed < {shard.file for shard in source.shards}
    for shard in source.shards:
        if shard.file not in needed:
            (directory / shard.file).unlink()
    blocks = load_span(source, span, dtype=torch.float32)
    assert torch.isfinite(_once(blocks, _hidden(3, source.hidden_size))).all()
    with pytest.raises(ModelError):
        load_ends(source, dtype=torch.float32)


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path)
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    source = ModelSource.open(str(directory))
    with pytest.raises(ModelError, match=r"lack model\.layers\.2\.mlp\.up_proj\.weight"):
        load_span(source, Span(2, 4), dtype=torch.float32)


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    directory = make_model("gpt2", tmp_path)
    capfd.readouterr()
    source = ModelSource.open(str(directory))
    load_span(source, Span(0, 2), dtype=torch.bfloat16)
    load_ends(source, dtype=torch.bfloat16)
    assert capfd.readouterr() == ("", "")
