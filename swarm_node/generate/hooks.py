"""How a swarm's model comes to guess ahead: transformers' decoding hooks."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import torch
from transformers import LogitsProcessorList, PreTrainedModel, TemperatureLogitsWarper
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator
from transformers.generation.configuration_utils import GenerationMode
from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria, MaxTimeCriteria
from transformers.generation.streamers import BaseStreamer

from swarm_node.generate.cache import RemoteCache
from swarm_node.generate.draft import Draft
from swarm_node.generate.guesses import BoundedLookup, Guesser
from swarm_node.model import longest_alike


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
            and _leaves_no_trace(generation_config, stopping_criteria, kwargs)
        ):
            decode = self._assisted_decoding
            logits_processor = Verifying(logits_processor, draws=bool(generation_config.do_sample))
            generation_config = copy.copy(generation_config)
            generation_config.do_sample = False
            streamer = OneByOne(streamer) if streamer is not None else None
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


def _leaves_no_trace(generation_config: Any, stopping_criteria: Any, given: dict[str, Any]) -> bool:
    """Whether this call of generate gives the same with guesses as without, for what the model is ``given``.

    Scores and hidden states would be others, and criteria of the caller's own would see several tokens at once.
    """
    wanted = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
    return (
        isinstance(given.get("past_key_values"), RemoteCache)
        and given.get("inputs_embeds") is None
        and generation_config.prefill_chunk_size is None
        and not any(getattr(generation_config, name) for name in wanted)
        and all(type(one) in (MaxLengthCriteria, MaxTimeCriteria, EosTokenCriteria) for one in stopping_criteria)
    )


class Verifying(LogitsProcessorList):
    """The processors of a call, asked for a token only while every guess before it was right.

    So processors that remember see the calls that they would see without guesses, and sampling draws the same tokens
    from the same random numbers. A drawn token is made the likeliest: decode greedily with these.
    """

    def __init__(self, processors: LogitsProcessorList, *, draws: bool) -> None:
        # transformers does not call an empty list; division by 1 changes no score.
        super().__init__(processors if processors or not draws else [TemperatureLogitsWarper(1.0)])
        self._draws = draws
        self._length = 0
        self._token: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """``scores`` [1, vocabulary] for the token after ``input_ids`` [1, length]."""
        length = input_ids.shape[1]
        if self._token is not None and (length != self._length + 1 or int(input_ids[0, -1]) != self._token):
            return scores  # after a wrong guess nobody will look at them
        processed: torch.Tensor = super().__call__(input_ids, scores, **kwargs)
        if self._draws:
            drawn = torch.multinomial(processed.softmax(dim=-1), num_samples=1)
            processed = torch.full_like(processed, -torch.inf).scatter_(1, drawn, 0.0)
        self._length, self._token = length, int(processed.argmax())
        return processed


class OneByOne(BaseStreamer):
    """Passes tokens that came together on as if they had come one after the other."""

    def __init__(self, inner: BaseStreamer) -> None:
        self._inner = inner

    def put(self, value: torch.Tensor) -> None:
        for token in value.reshape(-1).split(1):
            self._inner.put(token)

    def end(self) -> None:
        self._inner.end()
