"""Text from tokens, as they come: whole characters at once, and nothing held back but unfinished ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from swarm_node.text.cleaning import Cleaning, cleans
from swarm_node.text.settings import MOST_UNFINISHED_CHARACTERS, MOST_UNFINISHED_TOKENS

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class TextPieces:
    """The text of one answer. All pieces together are what ``tokenizer.decode`` gives for all its tokens.

    There is one exception: where byte tokens of a SentencePiece vocabulary break off within a character, ``decode``
    takes back the characters before it too; here they stay.

    ``skip_special_tokens`` is as in ``tokenizer.decode``; ``keep`` names special tokens that are written even so. The
    cost of a token does not depend on how many came before.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, skip_special_tokens: bool = True, *, keep: Collection[str] = ()
    ) -> None:
        self._tokenizer = tokenizer
        special = special_tokens(tokenizer) if skip_special_tokens else {}
        self._skipped = frozenset(id for id, name in special.items() if name not in keep)
        self._cleaning = Cleaning() if cleans(tokenizer) else None
        self._last: list[int] = []
        """The tokens of the piece before: decoders treat the first token of a text differently, and this is none."""
        self._before_bytes: list[int] = []
        """The same, but for the last piece that was not written in byte tokens."""
        self._fresh: list[int] = []
        self._shown = 0
        """Characters of the fresh tokens' text that were given away."""

    def push(self, token_id: int) -> str:
        """The characters that are complete with this token."""
        if token_id in self._skipped:
            return ""
        self._fresh.append(token_id)
        text = self._fresh_text()
        complete = text.rstrip(_UNFINISHED) if text.endswith(_UNFINISHED) else text
        unfinished = min(len(text) - len(complete), MOST_UNFINISHED_CHARACTERS)
        if len(self._fresh) >= MOST_UNFINISHED_TOKENS:
            unfinished = 0
        piece = text[self._shown : len(text) - unfinished]
        if text and not unfinished:
            self._begin_afresh()
        else:
            self._shown = max(self._shown, len(text) - unfinished)
        return self._clean(piece)

    def end(self) -> str:
        """What was held back; an unfinished character is written as a replacement character."""
        rest = self._fresh_text()[self._shown :]
        self._begin_afresh()
        return self._clean(rest) + (self._cleaning.end() if self._cleaning is not None else "")

    def _fresh_text(self) -> str:
        for context in (self._last, self._before_bytes):
            before, text = self._decode(context), self._decode(context + self._fresh)
            if text.startswith(before):
                return text[len(before) :]
        return self._decode(self._fresh)  # byte tokens begin the text

    def _begin_afresh(self) -> None:
        self._last = self._fresh
        names = self._tokenizer.convert_ids_to_tokens(self._fresh)
        if not all(isinstance(name, str) and _BYTE.fullmatch(name) for name in names):
            self._before_bytes = self._fresh
        self._fresh, self._shown = [], 0

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def _clean(self, piece: str) -> str:
        return self._cleaning.push(piece) if self._cleaning is not None else piece


@lru_cache(maxsize=16)
def special_tokens(tokenizer: PreTrainedTokenizerBase) -> Mapping[int, str]:
    """Those that the tokenizer's own ``decode`` skips, and their names."""
    if tokenizer.is_fast:
        return {id: token.content for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
