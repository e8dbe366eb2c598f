"""A model as a place to load from: what it is, what its blocks cost, and where its weights lie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from routing.errors import ModelError, UsageError
from swarm_node.fingerprint import fingerprint
from swarm_node.footprint import BlockShapes, Footprint, probe
from swarm_node.model_config import context_length, read_config, refuse_quantised
from swarm_node.model_files import ModelFiles, open_files
from swarm_node.quant import Quant
from swarm_node.quiet import quiet
from swarm_node.settings import HUB_READERS
from swarm_node.shards import Shard, read_shard, shard_files
from swarm_node.wire_dtype import PLAIN

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
        shapes = probe(config)
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
        return len(self.shapes.parameters)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden state between blocks."""
        return self.shapes.hidden_size

    @property
    def context_length(self) -> int | None:
        """Most tokens the model can attend to; None if its config does not say."""
        return context_length(self.config)

    def footprint(self, dtype: torch.dtype, quant: Quant = Quant.NONE) -> Footprint:
        """Memory per block and per cached token and block; the largest block counts."""
        return self.shapes.footprint(dtype, quant)

    def resolve_dtype(self, name: str) -> torch.dtype:
        """``auto`` is the dtype the model was saved in. Raises UsageError for a name that is none of the choices."""
        if name == "auto":
            return self.dtype
        if name not in PLAIN:
            raise UsageError(f"dtype '{name}' is unknown; choose one of auto, {', '.join(PLAIN)}")
        return PLAIN[name]

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
            raise ModelError(f"the tokenizer of {self.name} cannot be read ({error}); use --token-ids") from error
        return tokenizer


def _generation_config(files: ModelFiles, config: PreTrainedConfig) -> GenerationConfig:
    with quiet():
        if "generation_config.json" in files.sizes:
            return GenerationConfig.from_pretrained(str(files.directory))
        return GenerationConfig.from_model_config(config)
