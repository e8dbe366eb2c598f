"""The tokens with which a model ends what it has to say."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.prompt import chat_text

_ANSWER = "Xyzzyx"
_CHATS = (
    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": _ANSWER}],
    # Some templates end an answer only by whose turn is next.
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": _ANSWER},
        {"role": "user", "content": "Hello"},
    ],
)


def end_tokens(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> list[int]:
    """Token ids, sorted: those of ``generation_config``, of the tokenizer, and what the chat template ends a turn with.

    Chats of models whose configuration names only the end of a document would go on without the last.
    """
    configured = generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends |= {tokenizer.eos_token_id, _end_of_turn(tokenizer)}
    return sorted(end for end in ends if end is not None)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that the template writes right after an answer, if it is one."""
    for chat in _CHATS:
        try:
            text = chat_text(tokenizer, chat, answer_follows=False)
        except UsageError:
            return None
        _, answer, after = text.rpartition(_ANSWER)
        if answer and after.strip():
            first: int = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"][0]
            return first if first in tokenizer.added_tokens_decoder else None
    return None
