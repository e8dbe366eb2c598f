"""Where a model's files are: in a local directory, or on the Hub, where only what is asked for is downloaded."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session

from routing.errors import ModelNotFound
from swarm_node.model.directory import CONFIG, LocalFiles, ModelFiles
from swarm_node.model.quiet import quiet
from swarm_node.model.settings import DESCRIPTION_BYTES

_Result = TypeVar("_Result")
_HTTP_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception)
)
"""Among them the base of all errors of the HTTP library that the installed huggingface_hub is built on."""
_SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Config, tokenizer and index: what a model is described by, without its weights."""


class HubFiles:
    """A repository of the Hub at one commit. Downloads go to huggingface_hub's own cache."""

    def __init__(self, repository: str, commit: str, sizes: dict[str, int]) -> None:
        self.repository = repository
        self.commit: str | None = commit
        self.sizes = sizes
        describing = [file for file in sizes if "/" not in file and any(fnmatch.fnmatch(file, kind) for kind in _SMALL)]
        if sum(sizes[file] for file in describing) > DESCRIPTION_BYTES:
            raise ModelNotFound(f"{repository} has config and tokenizer files of many gigabytes; choose another model")
        self.directory = self.path(CONFIG).parent if CONFIG in sizes else Path()
        for file in describing:
            self.path(file)

    @classmethod
    def open(cls, repository: str, revision: str | None) -> ModelFiles:
        """Look the repository up. Without network, falls back to a complete earlier download.

        Raises ModelNotFound, telling an unknown name from a closed one and from a network that does not answer.
        """
        wanted = f"{repository}@{revision}" if revision else repository
        try:
            info = huggingface_hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        except GatedRepoError as error:
            raise ModelNotFound(f"{wanted} is gated; accept its terms on the Hub and run hf auth login") from error
        except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
            raise ModelNotFound(f"'{wanted}' is neither a directory here nor a model on the Hub; check it") from error
        except _HTTP_ERRORS as error:
            return _downloaded_before(repository, revision, error)
        files = cls(repository, str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()})
        if CONFIG in files.sizes:
            # By its name and not its commit, so that the Hub's cache remembers for a time without network what it is.
            files.fetch(CONFIG, revision or huggingface_hub.constants.DEFAULT_REVISION)
        return files

    def read(self, file: str, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        cached = huggingface_hub.try_to_load_from_cache(self.repository, file, revision=self.commit)
        if isinstance(cached, str):
            return LocalFiles(Path(cached).parent).read(file, start, end)
        return self._reached(file, lambda: self._request(file, start, end))

    def path(self, file: str) -> Path:
        return self.fetch(file, self.commit)

    def fetch(self, file: str, revision: str | None) -> Path:
        """Like path(), at another revision."""
        with quiet():
            fetched = self._reached(
                file, lambda: huggingface_hub.hf_hub_download(self.repository, file, revision=revision)
            )
        return Path(fetched)

    def _request(self, file: str, start: int, end: int) -> bytes:
        url = huggingface_hub.hf_hub_url(self.repository, file, revision=self.commit)
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
            response.raise_for_status()
            if response.status_code != 206:
                # Without this a server that ignores ranges would send gigabytes for every piece.
                raise ModelNotFound(f"the Hub sends no parts of {file}; download the model and give its directory")
            return response.read()

    def _reached(self, file: str, fetch: Callable[[], _Result]) -> _Result:
        try:
            return fetch()
        except _HTTP_ERRORS as error:
            raise ModelNotFound(
                f"{file} of model {self.repository} cannot be downloaded; check the network and try again"
            ) from error


def open_files(name_or_path: str, revision: str | None) -> ModelFiles:
    """Raises ModelNotFound if the name is neither a directory nor a Hub id that can be reached."""
    directory = Path(name_or_path).expanduser()
    if directory.is_dir():
        return LocalFiles(directory)
    if name_or_path.startswith(("/", "./", "../", "~")) or name_or_path.count("/") > 1:
        raise ModelNotFound(f"there is no directory {name_or_path}; give a model directory or a Hub id")
    return HubFiles.open(name_or_path, revision)


def _downloaded_before(repository: str, revision: str | None, reason: Exception) -> ModelFiles:
    try:
        directory = huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ModelNotFound(
            f"model '{repository}' is no directory here, and the Hub does not answer ({type(reason).__name__}); "
            "check the name and the network"
        ) from error
    return LocalFiles(Path(directory), Path(directory).name)
