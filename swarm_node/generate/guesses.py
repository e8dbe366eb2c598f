"""Where the tokens come from that are verified together: transformers' candidate generators, for a swarm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from time import perf_counter
from typing import Any

import torch
from transformers.generation.candidate_generator import CandidateGenerator

from swarm_node.generate.draft import Draft
from swarm_node.generate.settings import LONGEST_INDEXED, LONGEST_MATCH
from swarm_node.generate.speculation import Speculation
from swarm_node.settings import DECODE_TOKENS_MAX


class Guesser(CandidateGenerator):
    """Guesses for one sequence, as many as pay. Made for one call of generate, and ends with it."""

    def __init__(
        self,
        token_seconds: Callable[[], float],
        max_length: int,
        ends: frozenset[int],
        longest: Callable[[int], int | None],
        draft: Draft | None = None,
    ) -> None:
        """No guess is one of the tokens ``ends``, and the text gets no longer than ``max_length``.

        ``token_seconds``: what each token more in a step takes, as far as is known before any was tried.
        ``longest`` tells how long a step may make the sequence that makes it so long without guesses; None: any length.
        ``draft`` guesses where that pays more than what the text repeats.
        """
        self._token_seconds = token_seconds
        self._max_length = max_length
        self._ends = ends
        self._longest = longest
        self._draft = draft
        self._drafted: list[int] = []
        self._text = Repeats()
        self._speculation: Speculation | None = None
        self._match = 0
        self._guess: list[int] = []
        self.rows = 1
        """Sequences that wait for the next step: a guess more delays them all."""
        self.verified = 0
        """Guesses in the step, those for other sequences among them; of this one alone until somebody says more."""
        self._started = 0.0

    def get_candidates(self, input_ids: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        """transformers' hook: ``input_ids`` [1, length] and the guesses to verify after them."""
        self._text.extend(input_ids[0, len(self._text) :].tolist())
        self._match = self._text.match()
        self._guess = self._open_ended(self._text.guess(self._room()))
        # The first step carries the prompt: it tells nothing of what a token costs, but it opens the chain.
        guess = self._chosen(input_ids, self._speculation) if self._speculation else []
        self.verified = len(guess)
        if guess:
            input_ids = torch.cat([input_ids, input_ids.new_tensor([guess])], dim=1)
        self._started = perf_counter()
        return input_ids, None

    def _chosen(self, text: torch.Tensor, speculation: Speculation) -> list[int]:
        self._drafted = []
        if self._draft is not None:
            room = min(self._room(), self._draft.room(len(self._text)))
            count = speculation.drafts(self._match, len(self._guess), room, self._draft.token_seconds, self.rows)
            if count:
                self._drafted = self._open_ended(self._draft.guess(text, count))
                return self._drafted
        return self._guess[: speculation.guesses(self._match, len(self._guess), self.rows)]

    def _open_ended(self, guess: Sequence[int]) -> list[int]:
        """As far as the text would go on after it."""
        return list(takewhile(lambda token: token not in self._ends, guess))

    def update_candidate_strategy(self, input_ids: torch.Tensor, scores: torch.Tensor, num_matches: int) -> None:
        """transformers' hook: the step is done, and ``input_ids`` holds what came of it."""
        if self._speculation is None:
            self._speculation = Speculation(self._token_seconds())
            return
        self._speculation.stepped(self.verified, perf_counter() - self._started)
        came = input_ids[0, len(self._text) :].tolist()
        self._speculation.came(self._match, self._guess, came)
        self._speculation.drafted(self._drafted, came)

    def _room(self) -> int:
        """How many guesses may be verified now at most."""
        length = len(self._text)
        room = min(DECODE_TOKENS_MAX, self._max_length - length) - 1
        longest = self._longest(length)
        if longest is not None:
            room = min(room, longest - length)
        return max(0, room)


class BoundedLookup(CandidateGenerator):
    """transformers' own prompt lookup, which guesses on beyond the end: more tokens than a session has reserved."""

    def __init__(self, inner: CandidateGenerator, max_length: int) -> None:
        self._inner = inner
        self._max_length = max_length

    def get_candidates(self, input_ids: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """transformers' hook; as many as leave room for the token that follows the last."""
        candidates, _ = self._inner.get_candidates(input_ids, **kwargs)
        return candidates[:, : max(input_ids.shape[1], self._max_length - 1)], None


class Repeats:
    """A sequence of tokens that grows, with the latest end of every short run of them."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}
        self._before = 0
        """End of the latest earlier occurrence of the longest indexed run at the end; 0 if there is none."""

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """``tokens`` come after those known."""
        for token in tokens:
            self._tokens.append(token)
            end = len(self._tokens)
            self._before = 0
            for size in range(1, min(LONGEST_INDEXED, end) + 1):
                run = tuple(self._tokens[end - size :])
                self._before = self._ends.get(run, self._before)
                self._ends[run] = end

    def match(self) -> int:
        """How many tokens at the end, up to LONGEST_MATCH, are those before the place that ``guess`` goes on from."""
        tokens, here, there, length = self._tokens, len(self._tokens), self._before, 0
        while length < min(LONGEST_MATCH, there) and tokens[here - 1 - length] == tokens[there - 1 - length]:
            length += 1
        return length

    def guess(self, count: int) -> list[int]:
        """The next ``count`` tokens if the text goes on as it did there; none if its last token is new."""
        if not self._before:
            return []
        period = len(self._tokens) - self._before
        return [self._tokens[self._before + index % period] for index in range(count)]
