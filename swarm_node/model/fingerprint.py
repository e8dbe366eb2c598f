"""What a swarm knows a model by: a hash that two copies share and no fine-tuned one does."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swarm_node.model.directory import ModelFiles
from swarm_node.model.settings import FINGERPRINT_PIECE_BYTES, FINGERPRINT_PIECES, HUB_READERS, WIRE_VERSION
from swarm_node.model.shards import Shard

_VOLATILE = {"transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures", "_attn_implementation"}
"""Config keys that say who saved the model and how, not what it computes."""

FINGERPRINT_LENGTH = 32
"""Hexadecimal digits."""


def fingerprint(files: ModelFiles, config: dict[str, Any], shards: tuple[Shard, ...]) -> str:
    """Hash of config, wire version and every weight file's header, size and evenly spread pieces of its data.

    The names of the weight files do not count. Raises ModelNotFound if a piece cannot be read.
    """
    total = hashlib.sha256(f"swarm wire {WIRE_VERSION}\n".encode())
    total.update(json.dumps(_lasting(config), sort_keys=True, separators=(",", ":")).encode())
    with ThreadPoolExecutor(HUB_READERS) as readers:
        digests = list(readers.map(lambda shard: _shard_digest(files, shard), shards))
    for digest in sorted(digests):
        total.update(digest)
    return total.hexdigest()[:FINGERPRINT_LENGTH]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in _VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def _shard_digest(files: ModelFiles, shard: Shard) -> bytes:
    digest = hashlib.sha256(shard.size.to_bytes(8, "little") + shard.header)
    for start, end in _pieces(shard.data_start, shard.size):
        digest.update(files.read(shard.file, start, end))
    return digest.digest()


def _pieces(start: int, end: int) -> list[tuple[int, int]]:
    """Ranges of bytes between ``start`` and ``end``: both ends and evenly between, or all of it if it is short."""
    if end - start <= FINGERPRINT_PIECES * FINGERPRINT_PIECE_BYTES:
        return [(start, end)]
    room = end - start - FINGERPRINT_PIECE_BYTES
    starts = [start + room * piece // (FINGERPRINT_PIECES - 1) for piece in range(FINGERPRINT_PIECES)]
    return [(first, first + FINGERPRINT_PIECE_BYTES) for first in starts]
