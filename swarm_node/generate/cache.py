"""The cache object that transformers' generate carries about: it stands for caches that live in the swarm."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from transformers.cache_utils import Cache

from routing import Hop
from routing.errors import UsageError
from swarm_node.client import Bridge, Session, SessionStep, step_together
from swarm_node.tasks import gather


class RemoteCache(Cache):
    """Keys and values of a batch of sequences, one swarm session for each row.

    Knows only lengths. Columns are the batch's padded positions; a row's session holds those that are not padding.
    Owned by the generate call or the user that made it; ``close`` frees the sessions, and so does garbage collection,
    without waiting.
    """

    is_compileable = False
    is_sliding: Any = ()
    is_linear: Any = ()
    is_dummy: Any = ()

    def __init__(self, bridge: Bridge, max_tokens: int) -> None:
        """``max_tokens``: what each row's session reserves."""
        super().__init__(layers=[])
        self._bridge = bridge
        self._max_tokens = max_tokens
        self._sessions: list[Session] = []
        self._valid = torch.zeros(0, 0, dtype=torch.bool)
        self._finalizer = weakref.finalize(self, _close_soon, bridge, self._sessions)

    def run(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None, keep: int) -> torch.Tensor:
        """Send [batch, tokens, hidden] through the swarm; the last ``keep`` columns come back, zeros before them."""
        columns = _new_columns(hidden, attention_mask)
        if not self._sessions:
            self._valid = columns[:, :0]
            self._sessions += [self._bridge.client.open_session(self._max_tokens) for _ in columns]
        if len(columns) != len(self._sessions):
            raise UsageError(f"this cache holds {len(self._sessions)} sequences, not {len(columns)}")
        sent, kept = hidden.cpu(), columns[:, -keep:]
        whole = bool(columns.all())
        wanted: list[int] = kept.sum(dim=1).tolist()
        positions: list[int] = self._valid.sum(dim=1).tolist()
        rows: list[int] = []
        steps: dict[Session, SessionStep] = {}
        for row, session in enumerate(self._sessions):
            part = sent[row] if whole else sent[row, columns[row]]
            if len(part):
                rows.append(row)
                steps[session] = SessionStep(part, positions[row], max(1, wanted[row]))
        results = self._through(steps)
        if whole and keep == sent.shape[1]:
            output = torch.stack(results).to(sent.dtype)
        else:
            output = torch.zeros_like(sent)
            for row, result in zip(rows, results, strict=True):
                output[row, -keep:][kept[row]] = result[len(result) - wanted[row] :].to(sent.dtype)
        self._valid = torch.cat([self._valid, columns], dim=1)
        return output.to(hidden.device)

    def _through(self, steps: dict[Session, SessionStep]) -> list[torch.Tensor]:
        """[kept, hidden] of each step."""
        return self._bridge.call(step_together, steps)

    def route(self) -> tuple[Hop, ...]:
        """The chain that the first row's session is on; empty if it has none."""
        chain = self._sessions[0].chain if self._sessions else None
        return chain.hops if chain is not None else ()

    def token_seconds(self) -> float:
        """What each token more in a step of the first row takes, as its nodes measured it in long prompts."""
        return sum(len(hop.span) * hop.node.prefill_seconds for hop in self.route())

    def close(self) -> None:
        """Free the caches in the swarm and wait until that is done. Once the connection is closed they are free."""
        if self._finalizer.detach() and self._bridge.running:
            self._bridge.call(gather, [session.close for session in self._sessions])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._valid.shape[1]

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self._valid.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return self._valid.shape[1] + query_length, 0

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """transformers' hook: a number that is not positive, of columns to forget at the end."""
        if tokens_to_remove > 0:
            raise ValueError("crop takes a negative number of tokens to remove; see keep_first")
        self.keep_first(self._valid.shape[1] + tokens_to_remove)

    def keep_first(self, length: int) -> None:
        """Forget all but the first ``length`` columns; the sessions follow at their next step."""
        self._valid = self._valid[:, :length]

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Row i becomes what row ``beam_idx[i]`` is: beams share most of their history, so little is sent again."""
        order = beam_idx.tolist()
        counts = self._valid.sum(dim=1).tolist()
        inputs = {row: self._sessions[row].inputs()[: counts[row]] for row in set(order)}
        for row, origin in enumerate(order):
            if row != origin:
                self._sessions[row].adopt(inputs[origin])
        self._valid = self._valid[beam_idx.to(self._valid.device)]

    def activate_past_recording(self) -> None:
        """Nothing to record: a session rolls back by its length."""

    def reset(self) -> None:
        self.keep_first(0)


def _new_columns(hidden: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Which of the new columns [batch, tokens] hold a token rather than padding."""
    if attention_mask is None or attention_mask.dim() != 2:
        return torch.ones(hidden.shape[:2], dtype=torch.bool)
    return attention_mask[:, -hidden.shape[1] :].bool().cpu()


def _close_soon(bridge: Bridge, sessions: list[Session]) -> None:
    for session in sessions:
        bridge.soon(session.abandon)
