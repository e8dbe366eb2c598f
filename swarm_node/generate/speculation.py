"""How many guessed tokens to verify together with the next one: a pure decision from what was seen in this answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

from swarm_node.generate.settings import (
    DRAFT_RATE,
    GUESSES_REMEMBERED,
    GUESSES_WORTH,
    LONGEST_MATCH,
    ONE_MORE_GUESS_WORTH,
    STEPS_REMEMBERED,
)
from swarm_node.settings import DECODE_TOKENS_MAX

_KINDS = LONGEST_MATCH.bit_length()


class Speculation:
    """One answer's running judgement of how long steps take and how often guesses come true.

    A guess follows a match: so many tokens at the end of the text that occurred before. The longer the match, the
    likelier the guess; and a guess that came true makes the match longer by one for the next.
    """

    def __init__(self, token_seconds: float) -> None:
        """``token_seconds``: what each token more in a step takes, as far as is known before any was tried."""
        self._steps: deque[float] = deque(maxlen=STEPS_REMEMBERED)
        self._extras: deque[float] = deque([token_seconds], maxlen=STEPS_REMEMBERED)
        self._repeated = [_HitRate(2**kind / (2**kind + 2)) for kind in range(_KINDS)]
        self._drafted = _HitRate(DRAFT_RATE)

    def guesses(self, match: int, offered: int, rows: int = 1) -> int:
        """How many of ``offered`` guesses after a ``match`` to verify in the next step, for most tokens a second.

        ``rows``: sequences that wait for the same step.
        Never so many that nodes no longer take the step for a decode; none before a step without guesses was timed.
        """
        return self._repeats(match, offered, rows)[1]

    def drafts(self, match: int, offered: int, room: int, token_seconds: float | None, rows: int = 1) -> int:
        """How many tokens, at most ``room``, to let a draft model guess in place of the ``offered`` ones.

        0 where those after the ``match`` are as good. ``token_seconds``: of the draft model for each; None: unknown, so
        it writes one.
        """
        if token_seconds is None:
            return min(room, 1) if self._steps else 0
        gain, count = self._best(lambda _: self._drafted.rate, room, token_seconds, rows)
        return count if gain > self._repeats(match, offered, rows)[0] else 0

    def _repeats(self, match: int, offered: int, rows: int) -> tuple[float, int]:
        return self._best(lambda offset: self.rate(match + offset), offered if match else 0, 0.0, rows)

    def _best(self, rate: Callable[[int], float], most: int, guess_seconds: float, rows: int) -> tuple[float, int]:
        """The most that guessing multiplies tokens a second by, and how many guesses do so; 1 and 0 for none.

        Among several rows, a guess delays a token of each: it must gain so many times as much for its own.
        ``rate``: how often a guess at an offset comes true if all before it did.
        """
        if not self._steps:
            return 1.0, 0
        step, extra = median(self._steps), rows * (max(0.0, median(self._extras)) + guess_seconds)
        best, chosen = GUESSES_WORTH / ONE_MORE_GUESS_WORTH, 0
        all_right, tokens = 1.0, 1.0
        for count in range(1, min(most, DECODE_TOKENS_MAX - 1) + 1):
            all_right *= rate(count - 1)
            tokens += all_right
            gain = tokens * step / (step + count * extra)
            if gain > best * ONE_MORE_GUESS_WORTH:
                best, chosen = gain, count
        return (best, chosen) if chosen else (1.0, 0)

    def rate(self, match: int) -> float:
        """Share of guesses after such a match that came true lately."""
        return self._repeated[_kind(match)].rate

    def stepped(self, guesses: int, seconds: float) -> None:
        """A step with so many guesses took so long."""
        if guesses == 0:
            self._steps.append(seconds)
        elif self._steps:
            self._extras.append((seconds - median(self._steps)) / guesses)

    def came(self, match: int, guessed: Sequence[int], tokens: Sequence[int]) -> None:
        """After a ``match``, ``tokens`` came where ``guessed`` was expected, whether that was verified or not."""
        for offset, (guess, token) in enumerate(zip(guessed, tokens, strict=False)):
            self._repeated[_kind(match + offset)].note(guess == token)
            if guess != token:
                return

    def drafted(self, guessed: Sequence[int], tokens: Sequence[int]) -> None:
        """``tokens`` came where a draft model had ``guessed``."""
        for guess, token in zip(guessed, tokens, strict=False):
            self._drafted.note(guess == token)
            if guess != token:
                return


class _HitRate:
    """How often guesses of one kind came true lately; the first few count together with what was expected."""

    def __init__(self, expected: float) -> None:
        self._tried, self._right = 2.0, 2.0 * expected

    @property
    def rate(self) -> float:
        return self._right / self._tried

    def note(self, right: bool) -> None:
        keep = 1 - 1 / GUESSES_REMEMBERED
        self._tried = keep * self._tried + 1
        self._right = keep * self._right + right


def _kind(match: int) -> int:
    """Matches of 1, 2 to 3, 4 to 7 tokens, and of LONGEST_MATCH or more."""
    return min(match, LONGEST_MATCH).bit_length() - 1
