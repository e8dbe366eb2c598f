"""What ``generate``, ``chat`` and ``demo`` share: from words to tokens, through the swarm, and back to the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase, TextStreamer, set_seed
from transformers.generation.streamers import BaseStreamer

from cli.stderr import progress, tell
from routing import Hop
from routing.errors import ContextTooLong, ModelError, UsageError
from swarm_node.generate import connect

if TYPE_CHECKING:
    from swarm_node.generate import RemoteCache, SwarmModel
    from swarm_node.model import ModelSource


@dataclass(frozen=True, slots=True)
class Sampling:
    """Options by transformers' names; None leaves the model's own default."""

    max_new_tokens: int
    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    num_beams: int | None = None
    seed: int | None = None
    ignore_eos: bool = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for generate. Temperature 0 means no sampling; another, or a top-p, means sampling."""
        greedy = self.temperature == 0
        named = {
            "do_sample": False if greedy else self.do_sample,
            "temperature": None if greedy else self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "num_beams": self.num_beams,
        }
        given = {name: value for name, value in named.items() if value is not None}
        if "do_sample" not in given and given.keys() & {"temperature", "top_p", "top_k"}:
            given["do_sample"] = True
        return {**given, "max_new_tokens": self.max_new_tokens}


@dataclass(slots=True)
class Generated:
    """One answer and what it took."""

    prompt_tokens: int
    token_ids: list[int]
    text: str | None
    seconds: float
    first_token_seconds: float
    rounds: int
    """Round trips through the chain, that of the prompt among them."""
    route: tuple[Hop, ...] = field(default=())

    @property
    def tokens_per_second(self) -> float:
        """Of decoding: the tokens after the first, over the time they took."""
        decoding = self.seconds - self.first_token_seconds
        return (len(self.token_ids) - 1) / decoding if decoding > 0 and len(self.token_ids) > 1 else 0.0

    @property
    def tokens_per_round_trip(self) -> float:
        """More than 1 where guesses came true."""
        return len(self.token_ids) / self.rounds if self.rounds else 0.0


@contextmanager
def joined(
    source: ModelSource,
    peers: Sequence[str],
    dtype: str,
    timeout: float,
    wire_dtype: str = "auto",
    draft_model: str | None = None,
    device: str = "cpu",
) -> Iterator[SwarmModel]:
    """The swarm's model, as long as the body runs; a person sees that it takes a moment, and what it waits for."""
    with progress("joining the swarm …"):
        model = connect(
            source,
            peers,
            dtype=dtype,
            timeout=timeout,
            notice=tell,
            draft_model=draft_model,
            wire_dtype=wire_dtype,
            device=device,
        )
    with model:
        yield model


def encode(
    source: ModelSource, prompt: str | None, token_ids: str | None
) -> tuple[list[int], PreTrainedTokenizerBase | None]:
    """The prompt's tokens, and the tokenizer if the model has one. Raises UsageError if there is nothing to go on."""
    if token_ids is not None:
        return parse_token_ids(token_ids, source.config.get_text_config().vocab_size), _tokenizer_if_readable(source)
    if prompt is None:
        raise UsageError('give a prompt: swarm generate "Once upon a time", or --token-ids 1,2,3')
    tokenizer = source.tokenizer()
    if tokenizer is None:
        raise UsageError(f"{source.name} has no tokenizer; give --token-ids 1,2,3 instead of a prompt")
    ids: list[int] = tokenizer(prompt)["input_ids"]
    if not ids:
        raise UsageError("the prompt is empty")
    return ids, tokenizer


def _tokenizer_if_readable(source: ModelSource) -> PreTrainedTokenizerBase | None:
    """Token ids need no tokenizer; with one, the answer is words."""
    try:
        return source.tokenizer()
    except ModelError:
        return None


def parse_token_ids(text: str, vocabulary: int) -> list[int]:
    """``1,2,3``; raises UsageError for anything else or an id that the model does not have."""
    parts = text.replace(" ", "").split(",")
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"'{text}' is not a list of token ids; write for example 1,2,3")
    ids = [int(part) for part in parts]
    if max(ids) >= vocabulary:
        raise UsageError(f"token id {max(ids)} is out of range: the model's vocabulary has {vocabulary} tokens")
    return ids


def check_length(source: ModelSource, prompt_tokens: int, new_tokens: int) -> None:
    """Raises ContextTooLong if the model cannot hold prompt and answer."""
    limit = source.context_length
    if limit is not None and prompt_tokens + new_tokens > limit:
        raise ContextTooLong(
            f"the prompt has {prompt_tokens} tokens; with {new_tokens} new ones that exceeds the model's context of "
            f"{limit}; shorten it or lower --max-new-tokens"
        )


def run_generation(
    model: SwarmModel,
    prompt_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase | None,
    sampling: Sampling,
    *,
    show: bool,
    cache: RemoteCache | None = None,
) -> Generated:
    """Generate an answer, streaming it to standard output if ``show`` and the options allow streaming."""
    if sampling.seed is not None:
        set_seed(sampling.seed)
    if sampling.ignore_eos:
        model.generation_config.eos_token_id = None
    watch = _Watch(_streamer(tokenizer) if show else None)
    streams = (sampling.num_beams or 1) == 1
    arguments = sampling.arguments()
    if cache is not None:
        arguments["past_key_values"] = cache
    inputs = torch.tensor([list(prompt_ids)], device=model.device)
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        streamer=watch if streams else None,
        pad_token_id=_pad_token(model, tokenizer),
        **arguments,
    )
    ids: list[int] = output[0, len(prompt_ids) :].tolist()
    text = tokenizer.decode(ids, skip_special_tokens=True) if tokenizer is not None else None
    if show and not streams:
        print(text if text is not None else ",".join(map(str, ids)), flush=True)
    finished = time.perf_counter()
    return Generated(
        prompt_tokens=len(prompt_ids),
        token_ids=ids,
        text=text,
        seconds=finished - watch.started,
        first_token_seconds=(watch.first or finished) - watch.started,
        rounds=model.rounds(),
        route=model.route(),
    )


def _pad_token(model: SwarmModel, tokenizer: PreTrainedTokenizerBase | None) -> int:
    """Any token: a single sequence is never padded, but generate asks."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id if tokenizer is not None else None)
    return next((token for token in known if token is not None), 0)


def _streamer(tokenizer: PreTrainedTokenizerBase | None) -> BaseStreamer:
    if tokenizer is None:
        return _TokenStreamer()
    return TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


class _TokenStreamer(BaseStreamer):
    """Token ids, separated by commas, for models without a tokenizer."""

    def __init__(self) -> None:
        self._prompt_seen = False
        self._separator = ""

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.reshape(-1).tolist():
            print(f"{self._separator}{token}", end="", flush=True)
            self._separator = ","

    def end(self) -> None:
        print(flush=True)


class _Watch(BaseStreamer):
    """Notes when the first token came, and passes everything on."""

    def __init__(self, inner: BaseStreamer | None) -> None:
        self.started = time.perf_counter()
        self.first: float | None = None
        self._inner = inner
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_seen and self.first is None:
            self.first = time.perf_counter()
        self._prompt_seen = True
        if self._inner is not None:
            self._inner.put(value)

    def end(self) -> None:
        if self._inner is not None:
            self._inner.end()
