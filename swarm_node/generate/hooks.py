"""How a swarm's model comes to guess ahead: transformers' decoding hooks."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, TemperatureLogitsWarper
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator
from transformers.generation.configuration_utils import GenerationMode
from transformers.generation.stopping_criteria import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from swarm_node.generate.cache import RemoteCache
from swarm_node.generate.draft import Draft
from swarm_node.generate.guesses import BoundedLookup, Guesser
from swarm_node.model import longest_alike

_TRANSFORMERS_OWN = (MaxLengthCriteria, MaxTimeCriteria, EosTokenCriteria)
_NONE = -1
"""No token's id: the text has ended."""


class Guessing(PreTrainedModel):
    """The part of a SwarmModel that lets one round trip verify several tokens.

    Prompt lookup and draft models that a caller asks for are transformers' own. Otherwise, if ``speculate`` is true,
    greedy decoding and sampling of one sequence guess from what the text repeats, or by a draft model if there is
    one, as many tokens at a time as the measured times make pay. The text stays as it is.
    """

    speculate: bool
    """May be changed between calls."""
    _new_draft: Callable[[], Draft] | None
    """Of a small model of the same tokens, if there is one."""
    _calls: threading.local

    def new_draft(self) -> Draft | None:
        """A guesser for one text, if there is a draft model."""
        return self._new_draft() if self._new_draft is not None else None

    def _sample(
        self,
        input_ids: torch.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        streamer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """transformers' hook for greedy decoding and sampling; ``kwargs`` are for the model, mostly."""
        decode = super()._sample
        if (
            self.speculate
            and len(input_ids) == 1
            and _holds_all(input_ids, generation_config, kwargs)
            and _leaves_no_trace(generation_config, kwargs)
        ):
            decode = self._assisted_decoding
            draws = bool(generation_config.do_sample)
            generation_config = copy.copy(generation_config)
            generation_config.do_sample = False
            stopping_criteria = streamer = OneByOne(streamer, stopping_criteria, generation_config)
            logits_processor = Verifying(logits_processor, streamer, draws=draws)
        return decode(
            input_ids,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            generation_config=generation_config,
            streamer=streamer,
            **kwargs,
        )

    def _assisted_decoding(
        self, input_ids: torch.Tensor, *, generation_config: Any, inputs_tensor: Any = None, **kwargs: Any
    ) -> Any:
        """transformers' hook, which looks up whether it takes ``inputs_tensor``; see prepare_inputs_for_generation."""
        cache = kwargs.get("past_key_values")
        if cache is not None and _holds_all(input_ids, generation_config, kwargs):
            self._calls.held = cache.get_seq_length()
        return super()._assisted_decoding(
            input_ids, generation_config=generation_config, inputs_tensor=inputs_tensor, **kwargs
        )

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, next_sequence_length: int | None = None, **kwargs: Any
    ) -> Any:
        """transformers' hook. Assisted decoding begins with the whole text, even where a given cache holds a part."""
        held, self._calls.held = getattr(self._calls, "held", 0), 0
        if held and next_sequence_length is None:
            next_sequence_length = input_ids.shape[1] - held
        return super().prepare_inputs_for_generation(input_ids, next_sequence_length=next_sequence_length, **kwargs)

    def _get_candidate_generator(self, generation_config: Any, assistant_model: Any = None, **kwargs: Any) -> Any:
        """transformers' hook: where the guesses come from."""
        end = generation_config.max_length
        if generation_config.get_generation_mode(assistant_model) != GenerationMode.ASSISTED_GENERATION:  # see _sample
            eos = generation_config._eos_token_tensor
            cache = kwargs["model_kwargs"]["past_key_values"]
            ends = frozenset([] if eos is None else eos.tolist())
            return Guesser(cache.token_seconds, end, ends, longest_alike(self), self.new_draft())
        chosen = super()._get_candidate_generator(generation_config, assistant_model=assistant_model, **kwargs)
        return BoundedLookup(chosen, end) if isinstance(chosen, PromptLookupCandidateGenerator) else chosen


def _holds_all(input_ids: torch.Tensor, generation_config: Any, given: dict[str, Any]) -> bool:
    """Whether ``input_ids`` begin with what a given cache holds, and do not only continue it.

    transformers tells by the attention mask, and keeps its length when it drops one that masks nothing.
    """
    mask = given.get("attention_mask")
    length: int = mask.shape[1] if mask is not None else getattr(generation_config, "_mask_length", -1)
    return length == input_ids.shape[1]


def _leaves_no_trace(generation_config: Any, given: dict[str, Any]) -> bool:
    """Whether this call of generate gives the same with guesses as without, for what the model is ``given``.

    Scores and hidden states would be others.
    """
    wanted = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
    return (
        isinstance(given.get("past_key_values"), RemoteCache)
        and given.get("inputs_embeds") is None
        and generation_config.prefill_chunk_size is None
        and not any(getattr(generation_config, name) for name in wanted)
    )


class OneByOne(StoppingCriteriaList):
    """Shows a caller's streamer and stopping criteria the tokens that come together one after the other.

    Each token is judged and then streamed before the next is chosen, as without guesses. transformers takes it for
    both. The text ends at the token that a criterion ends it at, even if guesses after it are right.
    """

    def __init__(self, streamer: BaseStreamer | None, criteria: StoppingCriteriaList, limits: GenerationConfig) -> None:
        """``limits``: transformers reads from it, after each step's choice, how long the text may get."""
        super().__init__(criteria)
        self._streamer = streamer
        self._limits = limits
        # No guess is an end token or beyond the longest length, so only these can end a text at a guess.
        self._own = StoppingCriteriaList(one for one in criteria if type(one) not in _TRANSFORMERS_OWN)
        self._streamed = 0
        """Of this step's tokens."""
        self._unseen = torch.empty(0, dtype=torch.long)
        """What came of this step and is not streamed."""
        self._judged: tuple[int, torch.Tensor] | None = None
        """How long the text was when the caller's own criteria saw it last, and what they said."""

    @property
    def asks(self) -> bool:
        """Whether the caller has criteria of his own."""
        return bool(self._own)

    def ends_at(self, text: torch.Tensor) -> bool:
        """Whether ``text`` [1, length], whose last token came last or is a guess that is right, ends with it."""
        if self._judged is not None and self._judged[0] == text.shape[1]:
            return False  # it came at the end of a step, and transformers has asked
        ended = bool(self._judge(text, None).any())
        self._stream(text[0, -1:].cpu())
        self._streamed += 1
        if ended:
            self._limits.max_length = text.shape[1]
        return ended

    def put(self, value: torch.Tensor) -> None:
        """transformers' hook for a streamer: what a step brought. It asks for a judgement next."""
        self._unseen = value.reshape(-1)[self._streamed :]
        self._streamed = 0

    def end(self) -> None:
        """transformers' hook for a streamer."""
        if self._streamer is not None:
            self._streamer.end()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor | None, **kwargs: Any) -> torch.Tensor:
        """transformers' hook for criteria: which rows of ``input_ids`` [1, length] end with their last token."""
        ended = self._judge(input_ids, scores, **kwargs)
        for one in self:
            if type(one) in _TRANSFORMERS_OWN:
                ended = ended | one(input_ids, scores, **kwargs)
        self._stream(self._unseen)
        return ended

    def _stream(self, tokens: torch.Tensor) -> None:
        if self._streamer is not None:
            for token in tokens.unsqueeze(1):
                self._streamer.put(token)

    def _judge(self, text: torch.Tensor, scores: torch.Tensor | None, **kwargs: Any) -> torch.Tensor:
        if self._judged is None or self._judged[0] != text.shape[1]:
            self._judged = text.shape[1], self._own(text, scores, **kwargs)
        return self._judged[1]


class Verifying(LogitsProcessorList):
    """The processors of a call, asked for a token only while every guess before it was right.

    So processors that remember see the calls that they would see without guesses, and sampling draws the same tokens
    from the same random numbers. A drawn token is made the likeliest: decode greedily with these.
    """

    def __init__(self, processors: LogitsProcessorList, watched: OneByOne, *, draws: bool) -> None:
        # transformers does not call an empty list; division by 1 changes no score.
        called = processors or not (draws or watched.asks)
        super().__init__(processors if called else [TemperatureLogitsWarper(1.0)])
        self._watched = watched
        self._draws = draws
        self._length = 0
        self._token: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """``scores`` [1, vocabulary] for the token after ``input_ids`` [1, length]."""
        length = input_ids.shape[1]
        if self._token is not None and (length != self._length + 1 or int(input_ids[0, -1]) != self._token):
            return scores  # after a wrong guess nobody will look at them
        if self._token is not None and self._watched.ends_at(input_ids):
            self._token = _NONE
            return scores
        processed: torch.Tensor = super().__call__(input_ids, scores, **kwargs)
        if self._draws:
            drawn = torch.multinomial(processed.softmax(dim=-1), num_samples=1)
            processed = torch.full_like(processed, -torch.inf).scatter_(1, drawn, 0.0)
        self._length, self._token = length, int(processed.argmax())
        return processed
