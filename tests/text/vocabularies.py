"""Small tokenizers of every kind that models have."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

DEMO = Path(__file__).parents[2] / "swarm_node" / "demo_model"
TEXT = "The quick brown fox isn't here. Don't ask, he said! Wo ist der Fuchs? \n\n def fox(): return 'fox'"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MARKS = ["<|im_start|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>"]


@cache
def demo() -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(DEMO)
    return tokenizer


@cache
def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3 and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    return _whole(tokenizer)


@cache
def byte_fallback() -> PreTrainedTokenizerFast:
    """As Llama 2, Mistral and Gemma: SentencePiece with a token for each byte."""
    words = [word for text in TEXT.split() for word in ("▁" + text, text[:2])]
    characters = sorted({*TEXT.replace(" ", "▁").replace("\n", "")})
    names = dict.fromkeys(["<unk>", *BYTES, *characters, *words])
    vocabulary = [(name, -10.0 if name in characters else -2.0) for name in names]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _whole(tokenizer)


@cache
def metaspace() -> PreTrainedTokenizerFast:
    """As T5: spaces are part of words, no bytes."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator([TEXT], trainers.UnigramTrainer(vocab_size=80, unk_token="<unk>"))
    return _whole(tokenizer)


@cache
def word_piece() -> PreTrainedTokenizerFast:
    """As BERT; decoding removes spaces before punctuation."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator([TEXT], trainers.WordPieceTrainer(vocab_size=100, special_tokens=["[UNK]"]))
    return _whole(tokenizer, clean_up_tokenization_spaces=True)


@cache
def word_ends() -> PreTrainedTokenizerFast:
    """As the first GPT: the last piece of a word has a mark."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder()
    tokenizer.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=120, end_of_word_suffix="</w>", special_tokens=["<unk>"])
    )
    return _whole(tokenizer)


@cache
def slow() -> ByT5Tokenizer:
    """One that is written in Python."""
    return ByT5Tokenizer()


def _whole(tokenizer: Tokenizer, clean_up_tokenization_spaces: bool = False) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ["<s>", "</s>", *MARKS]])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=clean_up_tokenization_spaces,
    )
