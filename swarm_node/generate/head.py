"""A model's head used by many threads at once: what waits for it is multiplied in one go, reading the weight once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel


@dataclass(slots=True, eq=False)
class _Place:
    """One thread's rows, [rows, in], until they are through."""

    rows: torch.Tensor
    output: torch.Tensor | None = None


class SharedHead(nn.Module):
    """Stands in front of the head. A thread that finds it free goes at once, with all that came while it was not."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self._free = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Place] = []

    @property
    def weight(self) -> torch.Tensor:
        """The head's, for models that look at it."""
        weight = self.head.weight
        assert isinstance(weight, torch.Tensor)
        return weight

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        place = _Place(rows.reshape(-1, rows.shape[-1]))
        with self._guard:
            self._waiting.append(place)
        with self._free:
            if place.output is None:
                self._run(place)
        assert place.output is not None
        return place.output.view(*rows.shape[:-1], -1)

    def _run(self, place: _Place) -> None:
        with self._guard:
            if place in self._waiting:
                places, self._waiting = self._waiting, []
            else:  # a thread that took it along has failed
                places = [place]
        try:
            self._multiply(places)
        except RuntimeError:
            if len(places) == 1:
                raise
            self._multiply([place])

    def _multiply(self, places: Sequence[_Place]) -> None:
        outputs = self.head(torch.cat([place.rows for place in places]) if len(places) > 1 else places[0].rows)
        for place, output in zip(places, outputs.split([len(place.rows) for place in places]), strict=True):
            place.output = output


def share_head(model: PreTrainedModel) -> None:
    """Put one in front of the head of ``model``, if it has one."""
    head = model.get_output_embeddings()
    if head is not None:
        model.set_output_embeddings(SharedHead(head))
