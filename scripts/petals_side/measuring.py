"""What is measured of one side, and how: a fresh swarm of one node, then a fresh chain of two."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from statistics import mean, median
from typing import Any

from petals_side.children import Child
from petals_side.foreign_load import ForeignLoad
from petals_side.model import BLOCKS
from petals_side.projects import Project, RunningNode
from process_counters import family, program_name, proportional_bytes
from routing.errors import SwarmError
from swarm_node.tasks import gather

ANSWER_SECONDS = 60.0
REPEATS = 3
"""Times each case is asked, after once that does not count."""
CLIENTS = 8
DAEMON = "p2pd"
PROMPTS = (1 + REPEATS) * (1 + 3 * CLIENTS + 1)
"""All different: one that came before might be remembered."""

Tokens = Sequence[Sequence[int]]
"""Token ids by prompt."""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients are asked for."""

    prompts: Tokens
    """PROMPTS of them, of one length."""
    new_tokens: int
    expected: Tokens
    """What transformers alone writes after each."""
    weight_bytes: int
    """Of all blocks in a node's memory."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One side in one round. Rates are new tokens per second of whole calls of generate, the prompt's time included."""

    online: float
    """Seconds from the start of a node's process."""
    session: float
    """One session on one node."""
    threads: float | None
    """CLIENTS sessions at once on one node, as threads of one process; None if they were not done in time."""
    clients: float
    """The same, each in a process of its own."""
    gateway: float | None
    """The same, asked of one gateway by HTTP; None where there is none."""
    chain: float
    """One session on two nodes with half of the blocks each."""
    processes: int
    """Of a node that has served all this, beside its daemons."""
    daemons: int
    memory_at_rest: int
    """Proportional set size of a node that has just come online, daemons included, weights left out; bytes."""
    memory: int
    """The same of one that has served all this, with what it keeps of the sessions."""
    exact: float
    """Share of the texts that transformers alone would have written."""
    foreign_load: float
    """Share of the machine that other programs took meanwhile: near 0, or the rates say little."""

    @property
    def best(self) -> float:
        """CLIENTS sessions at once, in the way that suits this side."""
        return max(self.clients, self.threads or 0.0, self.gateway or 0.0)


class Tally:
    """Asks clients, and keeps how many of their texts were as expected and what other programs did meanwhile."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._used = self._right = self._all = 0
        self._foreign_loads: list[float] = []

    @property
    def exact(self) -> float:
        return self._right / self._all

    @property
    def foreign_load(self) -> float:
        return mean(self._foreign_loads)

    async def rate(
        self, nodes: Sequence[RunningNode], clients: Sequence[Child], sessions: int = 1, between: Sequence[Child] = ()
    ) -> float:
        """Median tokens per second of all clients together, each with so many sessions in threads of its own."""
        started = [node.process_id for node in nodes] + [child.process_id for child in (*between, *clients)]
        await self._once(clients, sessions)
        foreign = ForeignLoad(set().union(*map(family, started)))
        rates = [await self._once(clients, sessions) for _ in range(REPEATS)]
        self._foreign_loads.append(foreign.share())
        return median(rates)

    async def _once(self, clients: Sequence[Child], sessions: int) -> float:
        async def ask(client: Child, first: int) -> Any:
            chosen = slice(first, first + sessions)
            answer = await ask_for(client, self._load.prompts[chosen], self._load.new_tokens)
            expected = self._load.expected[chosen]
            self._right += sum(text == right for text, right in zip(answer["tokens"], expected, strict=True))
            self._all += sessions
            return answer

        firsts = range(self._used, PROMPTS, sessions)
        self._used += len(clients) * sessions
        return rate(await gather([partial(ask, client, first) for client, first in zip(clients, firsts, strict=False)]))


async def ask_for(client: Child, prompts: Tokens, new_tokens: int, *, batch: bool = False) -> Any:
    """The answer of a client process, see client.py. Raises SwarmError if there is none in time."""
    return await client.ask({"prompts": prompts, "new_tokens": new_tokens, "batch": batch}, ANSWER_SECONDS)


def rate(answers: Sequence[Any]) -> float:
    """New tokens per second, from the moment that the first client began until the last was done."""
    tokens = sum(len(text) for answer in answers for text in answer["tokens"])
    return tokens / (max(answer["ended"] for answer in answers) - min(answer["started"] for answer in answers))


def memory_of(node: RunningNode, weight_bytes: int) -> int:
    """Of one that hosts all blocks, their weights left out; bytes.

    Only while no client runs: with that it would share pages of libraries, and less would be counted as its own.
    """
    return proportional_bytes(family(node.process_id)) - weight_bytes


async def measure(side: Project, load: Load) -> Figures:
    """All figures of one side. Raises SwarmError if a process ends or falls silent."""
    tally = Tally(load)
    async with side.open_node(f"0:{BLOCKS}") as node:
        memory_at_rest = memory_of(node, load.weight_bytes)
        async with side.open_client(node.address) as client:
            session = await tally.rate([node], [client])
            try:
                threads = await tally.rate([node], [client], CLIENTS)
            except SwarmError:
                threads = None
        async with AsyncExitStack() as stack:
            joining = [partial(stack.enter_async_context, side.open_client(node.address)) for _ in range(CLIENTS)]
            clients = await tally.rate([node], await gather(joining))
        async with side.open_gateway(node.address) as door:
            gateway = await tally.rate([node], door[1:], CLIENTS, between=door[:1]) if door else None
        memory = memory_of(node, load.weight_bytes)
        found = family(node.process_id)
        daemons = {process_id for process_id in found if program_name(process_id) == DAEMON}
    half = BLOCKS // 2
    async with (
        side.open_node(f"0:{half}") as first,
        side.open_node(f"{half}:{BLOCKS}", first.address) as second,
        side.open_client(first.address) as client,
    ):
        chain = await tally.rate([first, second], [client])
    return Figures(
        online=node.seconds,
        session=session,
        threads=threads,
        clients=clients,
        gateway=gateway,
        chain=chain,
        processes=len(found - daemons),
        daemons=len(daemons),
        memory_at_rest=memory_at_rest,
        memory=memory,
        exact=tally.exact,
        foreign_load=tally.foreign_load,
    )


@dataclass(frozen=True, slots=True)
class Alone:
    """transformers in one process with one thread, the whole model in it; tokens per second."""

    single: float
    batch: float
    """With CLIENTS prompts in one call."""


async def measure_transformers(client: Child, prompts: Tokens, new_tokens: int) -> tuple[Alone, Tokens]:
    """Its rates, and what it writes after each prompt."""
    singles = [rate([await ask_for(client, [prompt], new_tokens)]) for prompt in prompts[: 1 + REPEATS]]
    batches = [
        await ask_for(client, prompts[first : first + CLIENTS], new_tokens, batch=True)
        for first in range(0, len(prompts), CLIENTS)
    ]
    texts = [text for answer in batches for text in answer["tokens"]]
    return Alone(median(singles[1:]), median(rate([answer]) for answer in batches[1:])), texts
