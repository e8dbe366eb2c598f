"""Tokens' probabilities, as OpenAI's chat and plain completions tell them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from swarm_node.generate import Token

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TokenNames:
    """How single tokens of one tokenizer are called, and of which bytes they consist."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        # Some decoders drop the space at the beginning of a text: there must be a token before.
        self._before: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
        self._start: str = self._decode([])

    def text(self, token: int) -> str:
        """What it adds to a text; ``bytes:…`` for a part of a character, as OpenAI calls those."""
        text = self._text(token)
        if _UNFINISHED not in text:
            return text
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self.bytes(token))

    def bytes(self, token: int) -> list[int]:
        """In UTF-8."""
        text = self._text(token)
        if _UNFINISHED not in text:
            return list(text.encode())
        name = str(self._tokenizer.convert_ids_to_tokens(token))
        if match := _BYTE.fullmatch(name):
            return [int(match[1], 16)]
        bytes_of = _bytes_of_letters()
        return [bytes_of[letter] for letter in name] if set(name) <= bytes_of.keys() else list(text.encode())

    def is_special(self, token: int) -> bool:
        """Whether it is no part of the text."""
        return token in self._special

    def _text(self, token: int) -> str:
        text = self._decode([token])
        return text[len(self._start) :] if text.startswith(self._start) else text

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(
            self._before + ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def chat_logprobs(names: TokenNames, tokens: Sequence[Token]) -> dict[str, Any]:
    """The ``logprobs`` of a chat completion's choice or of a chunk of it."""
    return {"content": [_entry(names, token) for token in tokens], "refusal": None}


def _entry(names: TokenNames, token: Token) -> dict[str, Any]:
    own = _named(names, token.id, token.logprob)
    return {**own, "top_logprobs": [_named(names, other, logprob) for other, logprob in token.top]}


def _named(names: TokenNames, token: int, logprob: float | None) -> dict[str, Any]:
    return {"token": names.text(token), "logprob": _finite(logprob), "bytes": names.bytes(token)}


def _finite(logprob: float | None) -> float | None:
    """JSON has no infinity; OpenAI writes this for what is next to impossible."""
    return None if logprob is None else max(logprob, -9999.0)


def completion_logprobs(
    names: TokenNames, tokens: Sequence[Token | None], ids: Sequence[int], offset: int
) -> dict[str, Any]:
    """The ``logprobs`` of a plain completion: ``ids`` in order, with what is known of each; ``offset`` of the first."""
    texts = [names.text(token) for token in ids]
    offsets = []
    for token, text in zip(ids, texts, strict=True):
        offsets.append(offset)
        offset += 0 if names.is_special(token) else len(text)
    return {
        "tokens": texts,
        "token_logprobs": [None if token is None else _finite(token.logprob) for token in tokens],
        "top_logprobs": [None if token is None else _top(names, token) for token in tokens],
        "text_offset": offsets,
    }


def _top(names: TokenNames, token: Token) -> dict[str, float | None]:
    """The likeliest, and the token itself."""
    likeliest = {names.text(other): _finite(logprob) for other, logprob in token.top}
    return likeliest if not token.top else {**likeliest, names.text(token.id): _finite(token.logprob)}


@lru_cache(maxsize=1)
def _bytes_of_letters() -> dict[str, int]:
    """The letters in which byte-level tokenizers write bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}
