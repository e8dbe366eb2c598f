"""The model that benchmarks run on, made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 32_000
HUNDRED_MILLION = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
"""The shape of a Llama with so many weights, by the names of LlamaConfig."""


def make_llama(
    directory: Path, dtype: str = "float32", shape: Mapping[str, Any] = HUNDRED_MILLION, device: str = "cpu"
) -> Path:
    """A Llama of random weights from a fixed seed, made on ``device`` and saved in ``directory``."""
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape)).to(getattr(torch, dtype))
    # A model that never ends its text: every run has as many tokens.
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(directory)
    return directory


def random_ids(length: int, seed: int) -> list[int]:
    """A prompt of ``length`` tokens that no other seed shares."""
    generator = torch.Generator().manual_seed(seed)
    return [int(token) for token in torch.randint(3, VOCABULARY, (length,), generator=generator)]


def make_tokenizer(model: Path, vocabulary: int = VOCABULARY) -> Path:
    """Give a model a tokenizer: one word for each token, so that every token is text. Returns ``model``."""
    words = Tokenizer(WordLevel({f"w{token}": token for token in range(vocabulary)}, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    words.decoder = Fuse()
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(model)
    return model
