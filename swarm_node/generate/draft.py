"""A small model in the client's own process that guesses what the large one in the swarm will say."""

from __future__ import annotations

from collections import deque
from statistics import median
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel

from routing.errors import ModelError, UsageError
from swarm_node.generate.settings import DRAFT_TIMES_LEAST, STEPS_REMEMBERED
from swarm_node.model import ModelSource, make_fast, quiet


class Draft:
    """How one text goes on, as a small model has it. Made for one call of generate, and ends with it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model: Any = model
        self._cache = DynamicCache(config=model.config)
        self._cache.activate_past_recording()
        self._length = 0
        """Tokens of the text that the cache holds for certain; those guessed come after them."""
        self._guessed: list[int] = []
        self._seconds: deque[float] = deque(maxlen=STEPS_REMEMBERED)
        self._longest: int = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31

    @property
    def token_seconds(self) -> float | None:
        """What one token takes; None until it is known from so many that one slow one does not decide."""
        return median(self._seconds) if len(self._seconds) >= DRAFT_TIMES_LEAST else None

    def room(self, length: int) -> int:
        """How many tokens it can guess after a text of ``length``."""
        return max(0, self._longest - length)

    @torch.inference_mode()
    def guess(self, text: torch.Tensor, count: int) -> list[int]:
        """The ``count`` likeliest tokens after ``text`` [1, length], which begins as that of the call before."""
        new = self._go_back(text)
        guessed: list[int] = []
        while len(guessed) < count:
            began = perf_counter()
            logits = self._model(input_ids=new, past_key_values=self._cache, use_cache=True, logits_to_keep=1).logits
            guessed.append(int(logits[0, -1].argmax()))
            if new.shape[1] <= 2:  # one token, and the last guess of the call before where that came true
                self._seconds.append(perf_counter() - began)
            new = text.new_tensor([[guessed[-1]]])
        self._length, self._guessed = text.shape[1], guessed[:-1]
        return guessed

    def _go_back(self, text: torch.Tensor) -> torch.Tensor:
        """Forget the guesses that did not come true; returns what of the text is yet to be read, at least one token."""
        came: list[int] = text[0, self._length : text.shape[1] - 1].tolist()
        right = 0
        while right < min(len(came), len(self._guessed)) and came[right] == self._guessed[right]:
            right += 1
        if right < len(self._guessed):
            self._cache.crop(right - len(self._guessed))
        return text[:, self._length + right :]


def load_draft(name_or_path: str, large: ModelSource, device: str = "cpu") -> PreTrainedModel:
    """A whole model, loaded here on ``device``, for guessing what ``large`` says.

    Raises ModelNotFound, ModelError, and UsageError if the two do not speak in the same tokens.
    """
    source = ModelSource.open(name_or_path)
    if _vocabulary(source) != _vocabulary(large):
        raise UsageError(f"{source.name} does not use the tokens of {large.name}; give a smaller model of its family")
    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype="auto", use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"the weights of {source.name} cannot be loaded ({error}); download it again") from error
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    loaded.to(device)
    make_fast(loaded)
    return loaded


def _vocabulary(source: ModelSource) -> object:
    """The tokenizer's if there is one: the sizes of embeddings differ within a family."""
    tokenizer = source.tokenizer()
    return tokenizer.get_vocab() if tokenizer is not None else source.config.get_text_config().vocab_size
