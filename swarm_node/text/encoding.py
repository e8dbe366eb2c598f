"""From text to tokens, where a text may be longer than any model reads."""

from __future__ import annotations

from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from routing.errors import ContextTooLong
from swarm_node.text.settings import CHARACTERS_LOST, MOST_VOCABULARIES


def encoded(tokenizer: PreTrainedTokenizerBase, text: str, context: int | None, *, special: bool = True) -> list[int]:
    """The tokens of ``text``, with those that the tokenizer adds at the ends if ``special``.

    Raises ContextTooLong where even the longest tokens would not fit it into ``context`` tokens, without making them:
    that takes seconds for a few million characters.
    """
    if context is not None and len(text) > context * longest_token(tokenizer) * CHARACTERS_LOST:
        raise ContextTooLong(
            f"the prompt has {len(text)} characters, far more than the {context} tokens of the model's context hold; "
            "shorten it"
        )
    ids: list[int] = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
    return ids


@lru_cache(maxsize=MOST_VOCABULARIES)
def longest_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Characters of the longest token. Takes some tenths of a second the first time."""
    return max(map(len, tokenizer.get_vocab()))
