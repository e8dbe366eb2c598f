"""Where a prompt comes from, and which tokens it is."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from routing.errors import ContextTooLong, ModelError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swarm_node.model import ModelSource

LONGEST_PROMPT_BYTES = 2**26
"""No model reads so much, and an endless pipe must not fill the memory."""


def read_prompt(given: str | None, file: Path | None) -> str | None:
    """The text of ``given``, of ``file``, or of standard input where ``given`` is - or nothing and input is a pipe.

    None if there is none. One line end at the end of a file or of standard input is not part of it. Raises UsageError.
    """
    if given is not None and file is not None:
        raise UsageError("give a prompt or --file, not both")
    if file is not None and str(file) != "-":
        try:
            with file.open("rb") as stream:
                return _text(stream, str(file))
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}; give another --file") from error
    if file is None and given != "-":
        if given is None and _is_piped():
            return _text(sys.stdin.buffer, "standard input")
        return None if given is None else whole(given, "the prompt")
    if sys.stdin is None:
        raise UsageError("standard input is closed; give the prompt itself, or --file")
    if sys.stdin.isatty():
        print("Write the prompt; Ctrl-D on a line of its own ends it.", file=sys.stderr)
    return _text(sys.stdin.buffer, "standard input")


def whole(text: str, what: str) -> str:
    """``text`` as it was typed; raises UsageError if it was no UTF-8, of which Python keeps the odd bytes apart."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} is not UTF-8 (character {error.start + 1}); set the terminal to UTF-8") from error
    return text


def _is_piped() -> bool:
    """Whether standard input is a pipe or a file, which end; a daemon's or a service's may be anything else."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, AttributeError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _text(stream: BinaryIO, name: str) -> str:
    data = stream.read(LONGEST_PROMPT_BYTES + 1)
    if len(data) > LONGEST_PROMPT_BYTES:
        raise UsageError(f"{name} has more than {LONGEST_PROMPT_BYTES >> 20} MiB; no model reads so much, shorten it")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 (byte {error.start + 1}); convert it, for example by iconv") from error
    return text.removesuffix("\n").removesuffix("\r")


def encode(
    source: ModelSource, prompt: str | None, token_ids: str | None = None, system: str | None = None
) -> tuple[list[int], PreTrainedTokenizerBase | None]:
    """The prompt's tokens, and the tokenizer if the model has one; with ``system``, those of a chat's first turn.

    Raises UsageError if there is nothing to go on.
    """
    if token_ids is not None:
        return parse_token_ids(token_ids, source.config.get_text_config().vocab_size), _tokenizer_if_readable(source)
    if prompt is None:
        raise UsageError('give a prompt: swarm generate "Once upon a time", --file PATH, or --token-ids 1,2,3')
    tokenizer = source.tokenizer()
    if tokenizer is None:
        raise UsageError(f"{source.name} has no tokenizer; give --token-ids 1,2,3 instead of a prompt")
    if system is not None:
        from swarm_node.text import chat_prompt

        told = {"role": "system", "content": whole(system, "--system")}
        return chat_prompt(tokenizer, [told, {"role": "user", "content": prompt}]), tokenizer
    ids: list[int] = tokenizer(prompt)["input_ids"]
    if not ids:
        raise UsageError("the prompt is empty")
    return ids, tokenizer


def ends_of(source: ModelSource, tokenizer: PreTrainedTokenizerBase | None, *, chat: bool) -> list[int]:
    """Tokens that end an answer, where the model's configuration does not say it all; empty where it does."""
    if tokenizer is None or (source.generation_config.eos_token_id is not None and not chat):
        return []
    from swarm_node.text import end_tokens

    return end_tokens(tokenizer, source.generation_config)


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
