"""The files of one model: what can be read of them, and those that lie in a directory here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from routing.errors import ModelNotFound

CONFIG = "config.json"


class ModelFiles(Protocol):
    """Read access to the files of one model. Stateless: it holds no open file, so nothing ends it."""

    sizes: dict[str, int]
    """Bytes of each file, by name."""
    directory: Path
    """Where config, tokenizer and index lie."""
    commit: str | None
    """Of the Hub; None of a directory."""

    def read(self, file: str, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end - 1``. Safe to call from several threads. Raises ModelNotFound if it cannot."""

    def path(self, file: str) -> Path:
        """The whole file on this machine, downloaded if it must be. Raises ModelNotFound if it cannot."""


class LocalFiles:
    """A directory; nothing in it is copied or changed."""

    def __init__(self, directory: Path, commit: str | None = None) -> None:
        """``commit``: of the Hub, from where the directory was downloaded."""
        self.directory = directory
        self.commit = commit
        self.sizes = {entry.name: entry.stat().st_size for entry in directory.iterdir() if entry.is_file()}

    def read(self, file: str, start: int, end: int) -> bytes:
        try:
            with self.path(file).open("rb") as stream:
                stream.seek(start)
                return stream.read(end - start)
        except OSError as error:
            raise ModelNotFound(f"{self.path(file)} cannot be read: {error.strerror}") from error

    def path(self, file: str) -> Path:
        return self.directory / file
