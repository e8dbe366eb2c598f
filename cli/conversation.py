"""A chat: what was said, what of it the swarm holds, and what of it the model is still shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cli.generation import run_generation
from cli.screen import Screen
from routing.errors import ContextTooLong
from swarm_node.text import chat_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from cli.sampling import Sampling
    from swarm_node.generate import RemoteCache, SwarmModel

CHAT_TOKENS = 2048
"""What a conversation reserves at first; it reserves more when it grows beyond."""

ANSWER_SHARE = 8
"""An answer needs this part of the context, or --max-new-tokens if that is less; without it the oldest turns go."""


class Conversation:
    """Turns with one model. Owns its cache in the swarm, which goes with the model's connection."""

    def __init__(
        self,
        model: SwarmModel,
        tokenizer: PreTrainedTokenizerBase,
        sampling: Sampling,
        *,
        stop: Sequence[str],
        ends: Sequence[int],
        context_length: int | None,
    ) -> None:
        """``stop`` and ``ends``: strings and tokens that end an answer."""
        self.system: str | None = None
        self._model = model
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._stop = stop
        self._ends = ends
        self._context = context_length
        self._turns: list[dict[str, str]] = []
        self._cache: RemoteCache | None = None
        self._held: list[int] = []
        """The tokens that the cache holds."""

    def forget(self) -> None:
        """Begin anew; what the system says stays."""
        self._turns = []

    def take_back(self) -> bool:
        """Forget the last answer, for another one to the same message; false if nothing was said."""
        if self._turns and self._turns[-1]["role"] == "assistant":
            self._turns.pop()
        return bool(self._turns)

    def say(self, message: str) -> None:
        """The user's next message. One that was never answered is forgotten."""
        if self._turns and self._turns[-1]["role"] == "user":
            self._turns.pop()
        self._turns.append({"role": "user", "content": message})

    def answer(self, agrees: Callable[[str], bool]) -> None:
        """Answer the last message, on the screen.

        ``agrees`` is asked before old turns are forgotten where they leave no room. Ctrl-C ends the answer and is
        raised on; what was written by then counts as said. Raises ContextTooLong if the last message alone has no room,
        or old turns may not be forgotten.
        """
        ids = self._prompt(agrees)
        room = self._sampling.max_new_tokens if self._context is None else self._context - len(ids)
        sampling = replace(self._sampling, max_new_tokens=min(self._sampling.max_new_tokens, room))
        if self._cache is None:
            self._cache = self._model.new_cache(min(CHAT_TOKENS, self._context or CHAT_TOKENS))
        # At least the last token must pass through the model again: its output is where the answer begins.
        self._cache.keep_first(min(_shared(self._held, ids), len(ids) - 1))
        screen = Screen(self._tokenizer, self._stop, show=True)
        try:
            answer = run_generation(
                self._model, ids, self._tokenizer, sampling, screen, ends=self._ends, cache=self._cache
            )
        except BaseException as error:
            # A step was under way: what the sessions hold now nobody knows, and nodes keep what they have computed.
            cache, self._cache, self._held = self._cache, None, []
            if isinstance(error, KeyboardInterrupt) and screen.text:
                self._turns.append({"role": "assistant", "content": screen.text})
            if self._model.bridge.running:
                cache.close()
            raise
        self._held = [*ids, *answer.token_ids][: self._cache.get_seq_length()]
        self._turns.append({"role": "assistant", "content": answer.text or ""})

    def _prompt(self, agrees: Callable[[str], bool]) -> list[int]:
        ids = self._encoded(self._turns)
        if self._context is None or len(ids) + self._least <= self._context:
            return ids
        kept = self._turns
        while len(kept) > 1 and len(ids) > self._context // 2:  # half of it, or the next turn would ask again
            kept = kept[2:]
            ids = self._encoded(kept)
        if len(ids) + self._least > self._context:
            raise ContextTooLong(
                f"this message makes {len(ids)} tokens; with {self._least} for an answer that exceeds the model's "
                f"context of {self._context}; shorten it"
            )
        count = (len(self._turns) - len(kept)) // 2
        turns = "the oldest turn" if count == 1 else f"the {count} oldest turns"
        if not agrees(f"The conversation fills the model's context of {self._context} tokens. Forget {turns}?"):
            raise ContextTooLong("nothing was forgotten, so there is no room for an answer; /forget begins anew")
        self._turns = kept
        return ids

    @property
    def _least(self) -> int:
        """Tokens without which an answer is not begun."""
        return min(self._sampling.max_new_tokens, max(1, (self._context or 0) // ANSWER_SHARE))

    def _encoded(self, turns: Sequence[dict[str, str]]) -> list[int]:
        told = [{"role": "system", "content": self.system}] if self.system else []
        return chat_prompt(self._tokenizer, [*told, *turns])


def _shared(first: list[int], second: list[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
