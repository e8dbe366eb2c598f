"""Many texts at once through one swarm: requests join and leave between steps, and each reads as if it were alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Literal

import trio

from dht.nursery import open_owner_nursery
from routing import Hop, Snapshot
from routing.errors import UsageError
from swarm_node.client import Sight
from swarm_node.generate.cohort import Cohort
from swarm_node.generate.model import SwarmModel, connect
from swarm_node.generate.request import Request, Token
from swarm_node.generate.row import Row, Rules
from swarm_node.generate.rows import Outcome, failed, step_rows
from swarm_node.generate.settings import ROWS_MAX
from swarm_node.model import ModelSource
from swarm_node.wire import DtypeLike


class Answer:
    """The tokens of one request, as they come: an async iterator. Ended by leaving the block that gave it.

    Iterating raises what ended the request: CacheFull, BlocksNotCovered, ContextTooLong, NetworkError and others.
    """

    def __init__(self, row: Row) -> None:
        self._row = row
        self._tokens: deque[Token] = deque()
        self._error: Exception | None = None
        self._over = False
        self._news = trio.Event()

    @property
    def route(self) -> tuple[Hop, ...]:
        """The chain that carries it; empty before the first token."""
        return self._row.route

    @property
    def rounds(self) -> int:
        """How often it went round the chain, the prompt included: guesses that come true save some."""
        return self._row.rounds

    @property
    def cached_tokens(self) -> int:
        """Of the prompt, what every node of its first chain held already."""
        return self._row.cached_tokens

    @property
    def prompt_tokens(self) -> list[Token | None]:
        """With their probabilities, if they were asked for, once the first token has come; the first has none."""
        return self._row.prompt_tokens

    @property
    def ended(self) -> Literal["stop", "length"] | None:
        """``stop`` after an end token, ``length`` if there is no room for more; None before."""
        return self._row.ended if not self._tokens else None

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> Token:
        while not self._tokens:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            await self._news.wait()
        return self._tokens.popleft()

    def take(self, outcome: Outcome) -> None:
        """What a step came to. In the loop of whoever iterates."""
        self._tokens += outcome.tokens
        self._error = outcome.error
        self._over = self._row.ended is not None
        self._news.set()
        self._news = trio.Event()


class Batch:
    """All texts that one process asks one swarm for. Owned by ``open_batch``."""

    def __init__(self, model: SwarmModel, source: ModelSource, nursery: trio.Nursery) -> None:
        self.model = model
        self.source = source
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._threads = trio.CapacityLimiter(ROWS_MAX)
        self._cohorts = trio.CapacityLimiter(ROWS_MAX)
        self._answers: dict[Row, Answer] = {}
        self._guard = threading.Lock()
        self._joining: dict[object, list[Row]] = {}
        """By the way of a cohort's chains, the rows that have yet to join it; guarded, since cohorts are threads."""

    @property
    def busy(self) -> bool:
        """Whether answers are under way."""
        return bool(self._answers)

    async def swarm(self) -> Snapshot:
        """The swarm as it is now. Raises WrongModel, NetworkError."""
        bridge = self.model.bridge
        return await trio.to_thread.run_sync(bridge.call, bridge.client.current_swarm, abandon_on_cancel=True)

    async def sight(self) -> Sight:
        """The same, with how far the nodes are and which have failed lately. Raises WrongModel, NetworkError."""
        bridge = self.model.bridge
        return await trio.to_thread.run_sync(bridge.call, bridge.client.sight, abandon_on_cancel=True)

    @asynccontextmanager
    async def answer(self, request: Request) -> AsyncIterator[Answer]:
        """Ask for a text; the block's end, for whatever reason, frees what it holds at every node at once.

        Raises UsageError for a request that cannot be, ContextTooLong for one that exceeds the model's context.
        """
        row = await trio.to_thread.run_sync(self._row, request, limiter=self._threads, abandon_on_cancel=True)
        answer = self._answers[row] = Answer(row)
        try:
            self._nursery.start_soon(self._alone, row)
            yield answer
        finally:
            del self._answers[row]
            row.left = True
            self.model.bridge.soon(row.session.withdraw)

    def _row(self, request: Request) -> Row:
        vocabulary = self.model.config.get_text_config().vocab_size
        if not request.prompt or request.max_new_tokens < 1:
            raise UsageError("a request needs at least one token of prompt, and asks for at least one more")
        if not all(0 <= token < vocabulary for token in request.prompt):
            raise UsageError(f"a token is out of range: the model's vocabulary has {vocabulary} tokens")
        length = len(request.prompt) + request.max_new_tokens
        session = self.model.bridge.client.open_session(length, request.owner)
        return Row(request, Rules.of(self.model, request), session, self.model)

    async def _alone(self, row: Row) -> None:
        """Until the row is with others: its prompt, and again whenever its chain has broken."""
        while not row.left and row.ended is None:
            try:
                outcomes = await trio.to_thread.run_sync(
                    partial(step_rows, self.model, [row], alone=True), limiter=self._threads, abandon_on_cancel=True
                )
            except Exception as error:  # noqa: BLE001 - told to who asked
                outcomes = failed([row], error)
            self._take(outcomes)
            if not outcomes[0].goes_on:
                return
            if outcomes[0].tokens:
                self._join(row)
                return

    def _join(self, row: Row) -> None:
        """Let it go on with those on chains like its own."""
        chain = row.session.chain
        if chain is None:  # broken since, or withdrawn
            self._nursery.start_soon(self._alone, row)
            return
        with self._guard:
            started = chain.way in self._joining
            self._joining.setdefault(chain.way, []).append(row)
        if not started:
            cohort = Cohort(self.model, partial(self._more, chain.way), self._deliver)
            self._nursery.start_soon(partial(trio.to_thread.run_sync, cohort.run, limiter=self._cohorts))

    def _more(self, way: object, idle: bool) -> Sequence[Row] | None:
        with self._guard:
            joined = self._joining[way]
            if idle and not joined:
                del self._joining[way]
                return None
            self._joining[way] = []
            return joined

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._take, outcomes)

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            answer = self._answers.get(outcome.row)
            if answer is None:
                continue
            answer.take(outcome)
            if outcome.lost:
                self._nursery.start_soon(self._alone, outcome.row)


@asynccontextmanager
async def open_batch(
    source: ModelSource,
    initial_peers: Sequence[str],
    *,
    dtype: DtypeLike = "auto",
    timeout: float,
    notice: Callable[[str], None],
    speculate: bool = True,
    draft_model: str | None = None,
    wire_dtype: DtypeLike = "auto",
    device: str = "cpu",
) -> AsyncIterator[Batch]:
    """Join the swarm of ``source``, with the arguments of AutoSwarmModelForCausalLM; leave it at the end.

    All answers must have ended by then. Raises ModelError, UsageError, NetworkError.
    """
    connecting = partial(
        connect,
        source,
        initial_peers,
        dtype=dtype,
        timeout=timeout,
        notice=notice,
        speculate=speculate,
        draft_model=draft_model,
        wire_dtype=wire_dtype,
        device=device,
    )
    model = await trio.to_thread.run_sync(connecting)
    try:
        async with open_owner_nursery() as nursery:
            yield Batch(model, source, nursery)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(model.close)
