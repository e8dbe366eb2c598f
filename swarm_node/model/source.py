"""A model as a place to load from: what it is, what its blocks cost, and where its weights lie."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from routing import Card, Span
from routing.errors import ModelError, ModelNotFound, ModelUnsupported
from swarm_node.model.directory import CONFIG, ModelFiles
from swarm_node.model.files import open_files
from swarm_node.model.fingerprint import fingerprint
from swarm_node.model.footprint import BlockShapes, Footprint
from swarm_node.model.known_shapes import shapes_of
from swarm_node.model.naming import public_name
from swarm_node.model.quant import Quant
from swarm_node.model.quiet import quiet
from swarm_node.model.settings import HUB_READERS
from swarm_node.model.shards import Shard, needed_tensors, read_shard, shard_files
from swarm_node.wire import DtypeLike, dtype_name, dtype_named

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "spiece.model")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A decoder-only transformers model in a directory or on the Hub. Holds no weights and nothing open."""

    name: str
    """As the user wrote it."""
    config: PreTrainedConfig
    fingerprint: str
    """What the swarm knows the model by: 32 hexadecimal digits."""
    dtype: torch.dtype
    """The dtype the model was saved in."""
    shapes: BlockShapes
    files: ModelFiles
    shards: tuple[Shard, ...]
    generation_config: GenerationConfig

    @classmethod
    def open(cls, name_or_path: str, revision: str | None = None) -> Self:
        """Read config and weight headers; from the Hub, this downloads no weights.

        Raises ModelNotFound, NotADecoder or ModelUnsupported, each with one line that says what to do. Blocks for
        disk and network: call it in a thread.
        """
        files = open_files(name_or_path, revision)
        values, config = read_config(name_or_path, files)
        shapes = shapes_of(config)
        refuse_quantised(name_or_path, config)
        with ThreadPoolExecutor(HUB_READERS) as readers:
            shards = tuple(readers.map(lambda file: read_shard(files, file), shard_files(files)))
        return cls(
            name=name_or_path,
            config=config,
            fingerprint=fingerprint(files, values, shards),
            dtype=config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32,
            shapes=shapes,
            files=files,
            shards=shards,
            generation_config=_generation_config(files, config),
        )

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""
        return self.shapes.blocks

    @property
    def hidden_size(self) -> int:
        """Width of the hidden state between blocks."""
        return self.shapes.hidden_size

    @property
    def context_length(self) -> int | None:
        """Most tokens the model can attend to; None if its config does not say."""
        return context_length(self.config)

    @property
    def card(self) -> Card:
        """What a node that serves it tells everybody."""
        return Card(
            name=public_name(self.name, self.files.commit is not None),
            revision=self.files.commit,
            fingerprint=self.fingerprint,
            blocks=self.blocks,
            hidden_size=self.hidden_size,
            context_length=self.context_length,
            architecture=self.config.model_type,
            dtype=dtype_name(self.dtype),
            size_bytes=sum(shard.size for shard in self.shards),
        )

    def needed_tensors(self, span: Span | None) -> dict[str, str]:
        """Tensor name → file for the blocks of ``span``, or for all that is not in a block if it is None."""
        layers = None if span is None else self.shapes.layers(span)
        return needed_tensors(self.shards, self.shapes.list_name, self.shapes.beside, layers)

    def footprint(self, dtype: torch.dtype, quant: Quant = Quant.NONE) -> Footprint:
        """Memory per block, and per cached token and block."""
        return self.shapes.footprint(dtype, quant)

    def resolve_dtype(self, given: DtypeLike) -> torch.dtype:
        """Auto is the dtype the model was saved in. Raises UsageError for one that is none of the choices."""
        return dtype_named(given) or self.dtype

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """None if the model comes without one. Raises ModelError if it has one that cannot be read."""
        if not any(file in self.files.sizes for file in _TOKENIZER_FILES):
            return None
        try:
            with quiet():
                tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                    str(self.files.directory), trust_remote_code=False
                )
        except Exception as error:
            # Tokenizers raise whatever their many formats and libraries raise.
            said = (
                "it needs code of its own, which is never run here" if "trust_remote_code" in str(error) else str(error)
            )
            raise ModelError(f"the tokenizer of {self.name} cannot be read ({said}); give token ids instead") from error
        return tokenizer


def _generation_config(files: ModelFiles, config: PreTrainedConfig) -> GenerationConfig:
    with quiet():
        if "generation_config.json" in files.sizes:
            return GenerationConfig.from_pretrained(str(files.directory))
        return GenerationConfig.from_model_config(config)


def read_config(name: str, files: ModelFiles) -> tuple[dict[str, Any], PreTrainedConfig]:
    """The file's own values, and what transformers makes of them; ``name`` is for messages.

    Raises ModelNotFound if there is none, ModelUnsupported if it is of a kind that cannot be served here.
    """
    if CONFIG not in files.sizes:
        raise ModelNotFound(f"{name} has no config.json; give the directory of a transformers model")
    path = files.path(CONFIG)
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path} is not readable JSON; download the model again") from error
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(files.directory), trust_remote_code=False)
    except Exception as error:
        # Config classes validate in many ways; all of them mean that transformers does not know this model.
        kind = values.get("model_type") if isinstance(values, dict) else None
        raise ModelUnsupported(f"transformers here cannot read the config of {name} (model type {kind}); "
                               "update transformers or choose another model") from error  # fmt: skip
    return values, config


def refuse_quantised(name: str, config: PreTrainedConfig) -> None:
    """Raises ModelUnsupported for weights that are not plain floating point numbers."""
    if getattr(config, "quantization_config", None) is not None:
        raise ModelUnsupported(f"{name} is quantised; choose a float32, bfloat16 or float16 checkpoint")


def context_length(config: PreTrainedConfig) -> int | None:
    """Most tokens the model can attend to; None if its config does not say."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """Of a model in one dtype."""

    blocks: int
    footprint: Footprint
    block_parameters: int
    """Of the largest block."""
    context_length: int | None
    """Most tokens the model can attend to; None if its config does not say."""


def read_costs(name_or_path: str, dtype_name: str) -> ModelCosts:
    """Read the config in a directory or on the Hub; ``auto`` is the dtype that it names.

    Raises ModelNotFound, NotADecoder or ModelUnsupported.
    """
    files = open_files(name_or_path, None)
    _, config = read_config(name_or_path, files)
    refuse_quantised(name_or_path, config)
    shapes = shapes_of(config)
    wanted = config.dtype if dtype_name == "auto" else getattr(torch, dtype_name)
    return ModelCosts(
        blocks=shapes.blocks,
        footprint=shapes.footprint(wanted if isinstance(wanted, torch.dtype) else torch.float32),
        block_parameters=shapes.block_parameters,
        context_length=context_length(config),
    )
