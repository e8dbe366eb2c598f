"""transformers' removal of spaces before punctuation, for a text that is still being written."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

_LONGEST = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
_BEGINNINGS = frozenset(pattern[:length] for pattern in _LONGEST for length in range(1, len(pattern)))


def cleans(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer's ``decode`` does it."""
    if not tokenizer.clean_up_tokenization_spaces:
        return False
    if not tokenizer.is_fast or tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output:
        return True
    return type(tokenizer.backend_tokenizer.model).__name__ != "BPE"


class Cleaning:
    """Holds back what may turn out to be a space to remove: at most four characters after a run of spaces."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> str:
        """What cannot change any more."""
        self._held += text
        cut = len(self._held)
        tail = re.search(r" +(?:' +)*[^ ]{0,3}$", self._held)
        if tail is not None and any(tail[0].endswith(beginning) for beginning in _BEGINNINGS):
            cut = tail.start()
        done, self._held = self._held[:cut], self._held[cut:]
        return _cleaned(done)

    def end(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return _cleaned(rest)


def _cleaned(text: str) -> str:
    """As transformers' ``clean_up_tokenization``, whose order matters."""
    for pattern in _LONGEST:
        text = text.replace(pattern, pattern.strip())
    return text
