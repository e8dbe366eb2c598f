"""The files of a model that others serve, found by what its nodes say of it."""

from __future__ import annotations

from routing import PresentModel
from routing.errors import ModelError, ModelNotFound, WrongModel
from swarm_node.model.settings import CARDS_TRIED
from swarm_node.model.source import ModelSource


def open_present(model: PresentModel) -> ModelSource:
    """Look on the Hub for what the model's cards name, the most believable first; the fingerprint is the proof.

    Raises ModelNotFound, another ModelError or WrongModel if no card leads to the files. Blocks for disk and network:
    call it in a thread.
    """
    failure: ModelError | WrongModel | None = None
    for card in [card for card in model.cards if card.revision is not None][:CARDS_TRIED]:
        try:
            source = ModelSource.open(card.name, card.revision)
        except ModelError as error:
            failure = failure or error
            continue
        if source.fingerprint == card.fingerprint:
            return source
        failure = failure or WrongModel(
            f"the swarm calls its model {card.name}, but the files of that name have fingerprint {source.fingerprint} "
            f"and not {card.fingerprint}: a node lies, or changed its files; give --model if you know better"
        )
    raise failure or ModelNotFound(
        f"the swarm's model {model.card.name} is from a directory of its nodes, not from the Hub; "
        "get its files and give --model DIRECTORY"
    )
