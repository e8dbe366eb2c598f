"""One sequence of tokens on its way through the swarm, whatever happens to the nodes that carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from routing import SessionShape
from routing.errors import ChainBroken, ContextTooLong, StreamClosed
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from swarm_node.client.opening import open_chain
from swarm_node.client.settings import CHAINS_PER_STEP
from swarm_node.client.step import SessionStep
from swarm_node.wire import WireDtype, dtype_name, is_decode, keys_within, more_keys, token_bytes

if TYPE_CHECKING:
    import torch


class Session:
    """A sequence and the chain that holds its cache, if one is open.

    Owned by whoever made it, and ended by ``close``; its chain's task runs with its client's. The history of inputs
    stays here, so that a broken chain is replaced by another and the text goes on as if nothing had happened.
    """

    def __init__(self, chains: Chains, max_tokens: int, timeout: float, owner: str = "") -> None:
        """``timeout``: seconds that it waits for a chain. ``owner``: whose it is, where beginnings are shared."""
        self.timeout = timeout
        self.chain: Chain | None = None
        self._withdrawn = False
        self._running: trio.CancelScope | None = None
        self._chains = chains
        self._max_tokens = max_tokens
        self._history = History(chains.wire, owner)
        self._synced = 0
        """Tokens of the history that the chain holds too."""
        self._unproven = False
        """Whether the chain has yet to serve a step."""

    def inputs(self) -> torch.Tensor:
        """A copy of the history, [length, hidden]."""
        return self._history.since(0).clone()

    def adopt(self, inputs: torch.Tensor) -> None:
        """Become a sequence with the history ``inputs`` [tokens, hidden]; what the chain shares with it stays there."""
        common = self._history.common_prefix(inputs)
        self._history.crop(common)
        self._history.append(inputs[common:])
        self._synced = min(self._synced, common)

    def take_in(self, step: SessionStep) -> None:
        """The first half of a step: the history ends with it. A position before the end forgets what was from there."""
        self._history.crop(step.position)
        self._synced = min(self._synced, step.position)
        self._history.append(step.hidden)

    def decodes(self, step: SessionStep) -> bool:
        """Whether the step, taken in, may go in a frame with other sessions' decodes, on its chain; see stepped."""
        if self.chain is None or self.chain.broken or self._history.length > self._max_tokens:
            return False
        self._load(step)
        return is_decode(len(step.hidden))

    def stepped(self) -> None:
        """The chain has done the step, here or in a frame of several."""
        self._synced = self._history.length
        if self._unproven and self.chain is not None:
            self._unproven = False
            self._chains.router.served(self.chain.hops, self._history.prefix_keys(self._synced))

    async def open(self, step: SessionStep, until: float, since: float | None = None) -> None:
        """Take a chain for a step that was taken in, see open_chain."""
        length = self._history.length
        keys = self._history.prefix_keys(length)
        shape = SessionShape(length, self._max_tokens, self._history.token_bytes, keys)
        self.chain = await self.take_chain(shape, until, since)
        self._unproven = True
        # What the hops hold is not sent again, but tokens whose output is wanted are.
        self._synced = min(self.chain.held_tokens, length - step.keep)

    async def take_chain(self, shape: SessionShape, until: float, since: float | None) -> Chain:
        """Where chains come from, see open_chain."""
        return await open_chain(self._chains, shape, until, since)

    async def run(self, step: SessionStep) -> None:
        """The second half of a step: send it until it is DONE. A hop that fails is replaced and the history replayed.

        Raises BlocksNotCovered or CacheFull when the timeout passes without a chain, ContextTooLong beyond the
        model's context, and StreamClosed when it is withdrawn.
        """
        with trio.CancelScope() as self._running:
            if not self._withdrawn:
                await self._run(step)
                return
        raise StreamClosed("no longer wanted")

    async def _run(self, step: SessionStep) -> None:
        await self.fit()
        chains = 0
        while True:
            if self.chain is None:
                chains += 1
                await self.open(step, trio.current_time() + self.timeout)
            assert self.chain is not None
            self._load(step)
            try:
                await self.chain.step(step)
                self.stepped()
                return
            except ChainBroken as failure:
                await self.close()
                self._chains.avoid(failure)
                if chains >= CHAINS_PER_STEP:
                    raise

    async def close(self) -> None:
        """Free the chain, if there is one; the history stays, and a later step opens a new one."""
        chain = self.chain
        self.abandon()
        if chain is not None:
            await chain.ended()

    def abandon(self) -> None:
        """Like close, without waiting. In the client's loop only."""
        chain, self.chain = self.chain, None
        synced, self._synced = self._synced, 0
        if chain is None:
            return
        # What was rolled back here, but not there yet, lies behind.
        keys = self._history.prefix_keys(synced)
        if not chain.broken:
            self._chains.router.served(chain.hops, keys)
        chain.abandon(keys)

    def withdraw(self) -> None:
        """Like abandon, for good: a step that runs, or waits for a chain, ends at once. In the client's loop only."""
        self._withdrawn = True
        if self._running is not None:
            self._running.cancel()
        self.abandon()

    async def fit(self) -> None:
        """Reserve more when the sequence outgrows what was declared."""
        if self._history.length <= self._max_tokens:
            return
        limit = self._chains.card.context_length
        if limit is not None and self._history.length > limit:
            raise ContextTooLong(f"{self._history.length} tokens exceed the model's context of {limit}")
        await self.close()
        doubled = 2 * self._history.length
        self._max_tokens = doubled if limit is None else min(doubled, limit)

    def _load(self, step: SessionStep) -> None:
        """The step is to send all that the chain lacks."""
        step.hidden, step.position = self._history.since(self._synced), self._synced


class History:
    """Inputs [length, hidden] of one sequence, in a buffer that grows by doubling."""

    def __init__(self, wire: WireDtype | None = None, owner: str = "") -> None:
        """``wire``: the number format in which they travel, if it is not their own. ``owner``: see more_keys."""
        import torch

        self._wire = wire
        self._owner = owner
        self._buffer = torch.empty(0, 0)
        self.length = 0
        self._keys = b""
        """Of its beginnings, as far as they were asked for."""

    def append(self, hidden: torch.Tensor) -> None:
        """Add [tokens, hidden] at the end."""
        needed = self.length + len(hidden)
        if needed > len(self._buffer):
            grown = hidden.new_empty(max(64, 2 * len(self._buffer), needed), hidden.shape[1])
            if self.length:
                grown[: self.length] = self._buffer[: self.length]
            self._buffer = grown
        self._buffer[self.length : needed] = hidden
        self.length = needed

    @property
    def token_bytes(self) -> int:
        """Of one token's hidden state on its way."""
        return token_bytes(self._buffer.shape[1], self._wire or dtype_name(self._buffer.dtype))

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        self.length = min(self.length, length)
        self._keys = keys_within(self._keys, self.length)

    def since(self, position: int) -> torch.Tensor:
        """[length - position, hidden], a view: valid until the next append or crop."""
        return self._buffer[position : self.length]

    def prefix_keys(self, length: int) -> bytes:
        """Names of the beginnings within the first ``length`` tokens, see prefix.py; each is worked out once."""
        self._keys = more_keys(self._keys, self._buffer[: min(length, self.length)], self._wire, self._owner)
        return keys_within(self._keys, length)

    def common_prefix(self, other: torch.Tensor) -> int:
        """How many tokens at the beginning are the same in ``other``."""
        count = min(self.length, len(other))
        if count == 0:
            return 0
        same = (self._buffer[:count] == other[:count]).all(dim=1)
        return int(same.long().cumprod(0).sum())
