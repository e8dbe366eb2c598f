"""A caller's processors and random numbers, when several tokens are verified in one step."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteriaList, set_seed
from transformers.generation.streamers import BaseStreamer

from swarm_node.generate.hooks import OneByOne, Verifying

VOCABULARY = 50


class Remembering(LogitsProcessor):
    """Remembers every text it is asked about."""

    def __init__(self) -> None:
        self.texts: list[list[int]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.texts.append(input_ids[0].tolist())
        return scores


def scores_after(text: list[int]) -> torch.Tensor:
    """What the model thinks, [1, VOCABULARY]."""
    return torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(sum(text) * len(text)))


def step(processors: LogitsProcessorList, text: list[int], guesses: list[int]) -> list[int]:
    """As transformers verifies: the tokens that follow ``text``, the guesses that were right and one more."""
    whole = [*text, *guesses]
    chosen: list[int] = []
    for length in range(len(text), len(whole) + 1):
        before: Any = torch.tensor([whole[:length]])
        chosen.append(int(processors(before, scores_after(whole[:length])).argmax()))
    right = next((index for index, guess in enumerate(guesses) if guess != chosen[index]), len(guesses))
    return chosen[: right + 1]


def one_by_one(text: list[int], tokens: int) -> list[int]:
    """As transformers samples without guesses."""
    text = list(text)
    for _ in range(tokens):
        text.append(int(torch.multinomial(scores_after(text).softmax(dim=-1), num_samples=1)))
    return text


def watched(streamer: BaseStreamer | None = None) -> OneByOne:
    """By nobody's rules, and by ``streamer``."""
    return OneByOne(streamer, StoppingCriteriaList(), GenerationConfig(max_length=100))


def test_sampling_draws_the_tokens_that_it_draws_without_guesses() -> None:
    set_seed(3)
    expected = one_by_one([1, 2], 12)
    set_seed(3)
    verifying = Verifying(LogitsProcessorList(), watched(), draws=True)
    text, right = [1, 2], 0
    while len(text) < len(expected):
        # Guesses of which some are right, and one after a wrong one is right again.
        guesses = expected[len(text) : len(text) + 4]
        guesses[1:2] = [0]
        new = step(verifying, text, guesses)
        right += len(new) - 1
        text += new
    assert text == expected
    assert right > 0


def test_processors_are_asked_once_for_each_token_of_the_text() -> None:
    remembering = Remembering()
    verifying = Verifying(LogitsProcessorList([remembering]), watched(), draws=False)
    text = [1, 2]
    for _ in range(5):
        following = int(scores_after(text).argmax())
        text += step(verifying, text, [following, VOCABULARY - 1, 0])
    assert remembering.texts == [text[:length] for length in range(2, len(text))]


def test_a_streamer_is_given_one_token_at_a_time() -> None:
    given: list[list[int]] = []

    class Inner(BaseStreamer):
        def put(self, value: torch.Tensor) -> None:
            given.append(value.tolist())

        def end(self) -> None:
            given.append([])

    streamer = watched(Inner())
    for text, new in ([1, 4, 5, 6], 3), ([1, 4, 5, 6, 7], 1):
        streamer.put(torch.tensor([text[-new:]]))
        streamer(torch.tensor([text]), None)
    streamer.end()
    assert given == [[4], [5], [6], [7], []]
