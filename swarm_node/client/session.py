"""One sequence of tokens on its way through the swarm, whatever happens to the nodes that carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import trio

from routing import SessionShape
from routing.errors import ChainBroken, ContextTooLong
from swarm_node.client.chain import Chain, Decode
from swarm_node.client.settings import CHAINS_PER_STEP
from swarm_node.wire import is_decode

if TYPE_CHECKING:
    from swarm_node.client.client import SwarmClient


from swarm_node.wire import WireDtype, dtype_name, keys_within, more_keys, token_bytes


class Session:
    """A sequence and the chain that holds its cache, if one is open.

    Owned by a SwarmClient, which runs the chain's task; ended by ``close``. The history of inputs stays with the
    client, so that a broken chain is replaced by another and the text goes on as if nothing had happened.
    """

    def __init__(self, client: SwarmClient, max_tokens: int) -> None:
        self._client = client
        self._max_tokens = max_tokens
        self._history = History(client.wire)
        self._chain: Chain | None = None
        self._synced = 0
        """Tokens of the history that the chain holds too."""
        self._unproven = False
        """Whether the chain has yet to serve a step."""

    @property
    def chain(self) -> Chain | None:
        return self._chain

    @property
    def timeout(self) -> float:
        """Seconds that it waits for a chain."""
        return self._client.timeout

    def inputs(self) -> torch.Tensor:
        """A copy of the history, [length, hidden]."""
        return self._history.since(0).clone()

    def adopt(self, inputs: torch.Tensor) -> None:
        """Become a sequence with the history ``inputs`` [tokens, hidden]; what the chain shares with it stays there."""
        common = self._history.common_prefix(inputs)
        self._history.crop(common)
        self._history.append(inputs[common:])
        self._synced = min(self._synced, common)

    async def step(self, hidden: torch.Tensor, position: int, keep: int) -> torch.Tensor:
        """Run [tokens, hidden] at ``position`` through all blocks; returns the last ``keep`` tokens' [keep, hidden].

        A position before the end forgets the tokens from there on. A hop that fails is replaced and the history
        replayed. Raises BlocksNotCovered or CacheFull when the client's timeout passes without a chain, and
        ContextTooLong beyond the model's context.
        """
        self.extend(hidden, position)
        return await self.run(keep)

    def extend(self, hidden: torch.Tensor, position: int) -> None:
        """The first half of a step: [tokens, hidden] are what it is about."""
        self._history.crop(position)
        self._synced = min(self._synced, position)
        self._history.append(hidden)

    def decode(self, keep: int) -> Decode | None:
        """The second half as something that may share a frame with other sessions' decodes, if it can; see stepped."""
        chain = self._chain
        if chain is None or chain.broken or self._history.length > self._max_tokens:
            return None
        sent = self._history.since(self._synced)
        return Decode(chain, sent, self._synced, keep) if is_decode(len(sent)) else None

    def stepped(self) -> None:
        """The chain has done the second half, here or in a frame of several."""
        self._synced = self._history.length
        if self._unproven and self._chain is not None:
            self._unproven = False
            self._client.router.served(self._chain.hops, self._history.prefix_keys(self._synced))

    async def open(self, keep: int, until: float, since: float | None = None) -> None:
        """Take a chain for what ``run`` will do, see SwarmClient.open_chain."""
        length = self._history.length
        keys = self._history.prefix_keys(length)
        shape = SessionShape(length, self._max_tokens, self._history.token_bytes, keys)
        self._chain = await self._client.open_chain(shape, until, since)
        self._unproven = True
        # What the hops hold is not sent again, but tokens whose output is wanted are.
        self._synced = min(self._chain.held_tokens, length - keep)

    async def run(self, keep: int) -> torch.Tensor:
        """The second half of a step."""
        await self.fit()
        chains = 0
        while True:
            if self._chain is None:
                chains += 1
                await self.open(keep, trio.current_time() + self._client.timeout)
            assert self._chain is not None
            try:
                sent = self._history.since(self._synced)
                output = await self._chain.step(sent, self._synced, keep)
                self.stepped()
                return output
            except ChainBroken as failure:
                await self.close()
                self._client.avoid(failure)
                if chains >= CHAINS_PER_STEP:
                    raise

    async def close(self) -> None:
        """Free the chain, if there is one; the history stays, and a later step opens a new one."""
        chain = self._chain
        self.abandon()
        if chain is not None:
            await chain.ended()

    def abandon(self) -> None:
        """Like close, without waiting. In the client's loop only."""
        chain, self._chain = self._chain, None
        synced, self._synced = self._synced, 0
        if chain is None:
            return
        # What was rolled back here, but not there yet, lies behind.
        keys = self._history.prefix_keys(synced)
        if not chain.broken:
            self._client.router.served(chain.hops, keys)
        chain.abandon(keys)

    async def fit(self) -> None:
        """Reserve more when the sequence outgrows what was declared."""
        if self._history.length <= self._max_tokens:
            return
        limit = self._client.source.context_length
        if limit is not None and self._history.length > limit:
            raise ContextTooLong(f"{self._history.length} tokens exceed the model's context of {limit}")
        await self.close()
        doubled = 2 * self._history.length
        self._max_tokens = doubled if limit is None else min(doubled, limit)


class History:
    """Inputs [length, hidden] of one sequence, in a buffer that grows by doubling."""

    def __init__(self, wire: WireDtype | None = None) -> None:
        """``wire``: the number format in which they travel, if it is not their own."""
        self._wire = wire
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
        self._keys = more_keys(self._keys, self._buffer[: min(length, self.length)], self._wire)
        return keys_within(self._keys, length)

    def common_prefix(self, other: torch.Tensor) -> int:
        """How many tokens at the beginning are the same in ``other``."""
        count = min(self.length, len(other))
        if count == 0:
            return 0
        same = (self._buffer[:count] == other[:count]).all(dim=1)
        return int(same.long().cumprod(0).sum())
