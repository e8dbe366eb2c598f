"""One step of several rows: one embedding, shared frames to the nodes, one head product, each row's own choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from swarm_node.client import Bridge, Session, SessionStep, StepState, decode_together
from swarm_node.generate.cache import RemoteCache
from swarm_node.generate.model import SwarmModel
from swarm_node.generate.request import Token
from swarm_node.generate.row import Row


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to for one row."""

    row: Row
    tokens: Sequence[Token] = ()
    lost: bool = False
    """Its chain carries it no more: it must go on by itself."""
    error: Exception | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the next step may be with the same rows."""
        return not self.lost and self.error is None and self.row.ended is None


class StepCache(RemoteCache):
    """The sessions of some rows, for one step that none of them waits for longer than the others."""

    def __init__(self, bridge: Bridge, sessions: Sequence[Session], valid: torch.Tensor, alone: bool) -> None:
        """``valid`` [rows, columns]: which columns hold tokens of a row; its session holds as many.

        ``alone``: it is one row, which waits for a chain if need be. Else a row that its chain does not serve is lost.
        """
        super().__init__(bridge, 0)
        self._finalizer.detach()  # the sessions are the rows'
        self._sessions += sessions
        self._valid = valid
        self._alone = alone
        self.lost: set[Session] = set()

    def _through(self, steps: dict[Session, SessionStep]) -> list[torch.Tensor]:
        if self._alone:
            return super()._through(steps)
        shapes = {session: step.hidden[: step.keep].shape for session, step in steps.items()}
        self._bridge.call(decode_together, steps)
        results: list[torch.Tensor] = []
        for session, step in steps.items():
            if step.state is StepState.DONE:
                results.append(step.output())
            else:
                self.lost.add(session)
                results.append(torch.zeros(shapes[session]))
        return results


@torch.no_grad()
def step_rows(model: SwarmModel, rows: Sequence[Row], *, alone: bool) -> list[Outcome]:
    """Bring each row's unsent tokens through the swarm, and let it choose what comes next.

    ``alone``: see StepCache. Raises SwarmError where nothing came of it for any row.
    """
    sent = [row.unsent() for row in rows]
    wanted = [row.wanted(len(tokens)) for row, tokens in zip(rows, sent, strict=True)]
    keep = max(wanted)
    cache, logits = _forward(model, rows, sent, keep, alone)
    likeliest: list[list[int]] = logits.argmax(dim=-1).tolist() if any(row.plain for row in rows) else [[]] * len(rows)
    outcomes: list[Outcome] = []
    for index, row in enumerate(rows):
        if row.session in cache.lost:
            outcomes.append(Outcome(row, lost=True))
            continue
        try:
            tokens = row.take(sent[index], logits[index, -wanted[index] :], likeliest[index][-wanted[index] :])
            outcomes.append(Outcome(row, tokens))
        except Exception as error:  # noqa: BLE001 - a processor of this row's own; told to who asked for it
            outcomes.append(Outcome(row, error=error))
    return outcomes


def _forward(
    model: SwarmModel, rows: Sequence[Row], sent: Sequence[Sequence[int]], keep: int, alone: bool
) -> tuple[StepCache, torch.Tensor]:
    """Logits [rows, keep, vocabulary], aligned at the end, as of a batch that is padded on the left."""
    before, columns = max(row.held for row in rows), max(len(tokens) for tokens in sent)
    mask = torch.zeros(len(rows), before + columns, dtype=torch.long)
    ids = torch.zeros(len(rows), columns, dtype=torch.long)
    for index, (row, tokens) in enumerate(zip(rows, sent, strict=True)):
        mask[index, before - row.held : before] = 1
        mask[index, before + columns - len(tokens) :] = 1
        ids[index, columns - len(tokens) :] = torch.tensor(tokens)
    cache = StepCache(model.bridge, [row.session for row in rows], mask[:, :before].bool(), alone)
    logits: torch.Tensor = model.logits(ids.to(model.device), mask.to(model.device), cache, keep)
    return cache, logits


def failed(rows: Sequence[Row], error: Exception) -> list[Outcome]:
    """The step came to nothing."""
    return [Outcome(row, error=error) for row in rows]
