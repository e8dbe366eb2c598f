"""Which model a command is about: the one its user named, or the one that the swarm has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from dht import Peer, open_guest, read_models
from routing import Card, PresentModel, matching
from routing.errors import ModelNotFound, UsageError
from swarm_node.tasks import in_thread

if TYPE_CHECKING:
    from swarm_node.model import ModelSource

NAMED_AT_ONCE = 8
"""Models that a message names."""


def chosen_source(model: str | None, revision: str | None, initial_peers: Sequence[str]) -> ModelSource:
    """The model that --model names or, without it, the only one that the swarm has; its files are opened here.

    Raises UsageError, telling what there is, if the swarm has none or several; ModelNotFound, NotADecoder or
    ModelUnsupported if the files cannot be had; what open_guest() does. Blocks for disk and network.
    """
    from swarm_node.model import ModelSource, open_present

    if model is not None:
        return ModelSource.open(model, revision)
    return open_present(only_one(trio.run(_models_of, initial_peers)))


def only_one(models: Sequence[PresentModel]) -> PresentModel:
    """Raises UsageError, with what to type, unless there is exactly one."""
    if not models:
        raise UsageError("no node of this swarm tells which model it serves; give --model DIRECTORY or a Hub id")
    if len(models) > 1:
        raise UsageError(
            f"this swarm serves {_listed(models)}; choose one, for example with --model {_named(models[0], models)}"
        )
    return models[0]


async def card_of(guest: Peer, model: str, revision: str | None) -> Card:
    """What ``model`` names: a directory here, a model that the swarm has, by name or fingerprint, or one of the Hub.

    Only if it is none that the swarm has are files opened, which imports much and may download a little. Raises
    UsageError if it names several, and what ModelSource.open() does.
    """
    models: Sequence[PresentModel] = ()
    if revision is None and not _is_directory(model):
        models = await read_models(guest)
        found = matching(models, model)
        if len(found) > 1:
            raise UsageError(
                f"several models of this swarm go by '{model}': {_fingerprints(found)}; give one of these with --model"
            )
        if found:
            return found[0].card
    return await in_thread(lambda: _opened(model, revision, models))


def _opened(model: str, revision: str | None, models: Sequence[PresentModel]) -> Card:
    from swarm_node.model import read_outline

    try:
        outline = read_outline(model)
        if outline is not None:
            return outline
        from swarm_node.model import ModelSource  # brings transformers, which takes seconds

        return ModelSource.open(model, revision).card
    except ModelNotFound as error:
        raise ModelNotFound(f"{error}; this swarm serves {_listed(models)}" if models else str(error)) from error


async def _models_of(initial_peers: Sequence[str]) -> tuple[PresentModel, ...]:
    async with open_guest(initial_peers) as guest:
        return await read_models(guest)


def _is_directory(model: str) -> bool:
    return Path(model).expanduser().is_dir()


def _listed(models: Sequence[PresentModel]) -> str:
    """For a message, by what can be given to --model; not more than fit in a line."""
    names = [_named(model, models) for model in models]
    shown = names[:NAMED_AT_ONCE] + ([f"{len(names) - NAMED_AT_ONCE} more"] if len(names) > NAMED_AT_ONCE else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _named(model: PresentModel, models: Sequence[PresentModel]) -> str:
    """With its revision where several have its name."""
    card = model.card
    alone = [other.card.name for other in models].count(card.name) == 1
    return card.name if alone or card.revision is None else f"{card.name} --revision {card.revision}"


def _fingerprints(models: Sequence[PresentModel]) -> str:
    return " and ".join(model.card.fingerprint for model in models[:NAMED_AT_ONCE])
