"""What was once found out about a model's blocks, kept on disk: to build it without memory again takes a second."""

from __future__ import annotations

import hashlib
import logging
import secrets
from importlib.metadata import version
from pathlib import Path

import platformdirs
from pydantic import TypeAdapter, ValidationError
from transformers import PreTrainedConfig

from swarm_node.model.footprint import BlockShapes
from swarm_node.model.probe import probe

log = logging.getLogger(__name__)

_SHAPES = TypeAdapter(BlockShapes)


def shapes_of(config: PreTrainedConfig) -> BlockShapes:
    """As probe(), which does it the first time. A disk that refuses only costs the next start another."""
    file = _file(config)
    try:
        return _SHAPES.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        shapes = probe(config)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{secrets.token_hex(4)}")
        partial.write_bytes(_SHAPES.dump_json(shapes))
        partial.replace(file)
    except OSError as error:
        log.info("what the model's blocks are cannot be kept in %s: %s", file, error)
    return shapes


def _file(config: PreTrainedConfig) -> Path:
    """Another for each config, and for other versions of what reads it."""
    versions = [f"{name} {version(name)}" for name in ("swarm-node", "transformers", "torch")]
    told = "\n".join((type(config).__qualname__, *versions, config.to_json_string(use_diff=False)))
    return platformdirs.user_cache_path("swarm-node") / "shapes" / f"{hashlib.sha256(told.encode()).hexdigest()}.json"
