"""Which weight files hold which tensors, and a view of a model that shows only some of them."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from routing.errors import ModelError, ModelNotFound, ModelUnsupported
from routing.span import Span
from swarm_node.model.directory import CONFIG, ModelFiles
from swarm_node.model.settings import HEADER_BYTES_MAX

_INDEX = "model.safetensors.index.json"
_POINTER_BEGINS = b"version "
"""The first eight bytes of what Git keeps in place of a large file. As a length they would mean petabytes."""
_SINGLE = "model.safetensors"
_NUMBERED = re.compile(r"\.\d+\.")
"""What is behind it is inside of a block, where names may be those of other parts."""
_OTHER_LIST_NAMES = ("layers", "blocks", "h", "layer")
"""Of blocks, in checkpoints whose tensors transformers renames when it loads them."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file as its header describes it."""

    file: str
    header: bytes
    size: int
    """Bytes of the whole file."""

    @property
    def data_start(self) -> int:
        return 8 + len(self.header)

    def tensors(self) -> dict[str, Any]:
        """What the header says of each tensor, by name."""
        return {name: entry for name, entry in json.loads(self.header).items() if name != "__metadata__"}


def shard_files(files: ModelFiles) -> list[str]:
    """The names of the weight files.

    Raises ModelUnsupported if there are weights but no safetensors, ModelNotFound if any are missing.
    """
    if _INDEX in files.sizes:
        try:
            names = sorted(set(json.loads(files.path(_INDEX).read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{files.path(_INDEX)} is no weight index; download the model again") from error
    elif _SINGLE in files.sizes:
        names = [_SINGLE]
    elif any(name.endswith((".bin", ".pt", ".pth", ".h5", ".gguf")) for name in files.sizes):
        raise ModelUnsupported(f"{files.directory} has no safetensors weights; convert it with save_pretrained() first")
    else:
        raise ModelNotFound(f"{files.directory} holds no safetensors weights; give the directory of a whole model")
    for name in names:
        if name not in files.sizes:
            raise ModelNotFound(f"{files.directory} lacks {name}, which its index names; download the model again")
    return names


def read_shard(files: ModelFiles, file: str) -> Shard:
    """Read the header of one weight file. Raises ModelError if the file is not safetensors."""
    size = files.sizes[file]
    prefix = files.read(file, 0, min(8, size))
    if prefix == _POINTER_BEGINS:
        raise ModelError(f"{file} in {files.directory} only names the weights, for Git LFS; run git lfs pull there")
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if 8 + length > size or length > HEADER_BYTES_MAX:
        raise ModelError(f"{file} in {files.directory} is cut short or no safetensors file; download it again")
    shard = Shard(file, files.read(file, 8, 8 + length), size)
    try:
        whole = shard.data_start + max(tensor["data_offsets"][1] for tensor in shard.tensors().values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} in {files.directory} has a broken header; download it again") from error
    if whole != size:
        raise ModelError(f"{file} in {files.directory} has {size} bytes instead of {whole}; download it again")
    return shard


def needed_tensors(
    shards: tuple[Shard, ...], list_name: str, beside: Collection[str], span: Span | None
) -> dict[str, str]:
    """Tensor name → file for the layers of ``span``, or for all that is not in a layer if ``span`` is None.

    ``beside``: names of parts of which nothing is needed.
    """
    files = {
        name: shard.file
        for shard in shards
        for name in shard.tensors()
        if not any(part in beside for part in _NUMBERED.split(name, maxsplit=1)[0].split("."))
    }
    for listed in (list_name, *_OTHER_LIST_NAMES):
        block = re.compile(rf"(?:^|\.){re.escape(listed)}\.(\d+)\.")
        blocks = {name: int(match[1]) for name in files if (match := block.search(name))}
        if blocks:
            break
    wanted = (
        [name for name in files if name not in blocks]
        if span is None
        else [name for name, index in blocks.items() if index in span]
    )
    return {name: files[name] for name in wanted}


@contextmanager
def view(files: ModelFiles, tensors: dict[str, str]) -> Iterator[Path]:
    """A temporary model directory of links that shows only ``tensors``; only their files are fetched."""
    with TemporaryDirectory(prefix="swarm-model-") as name:
        directory = Path(name)
        index = {"metadata": {}, "weight_map": tensors}
        (directory / _INDEX).write_text(json.dumps(index))
        for file in (CONFIG, "generation_config.json", *sorted(set(tensors.values()))):
            if file in files.sizes:
                (directory / file).symlink_to(files.path(file).resolve())
        yield directory
