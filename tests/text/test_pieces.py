"""Text comes as soon as there are characters, and it is the text that decoding all at once gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from swarm_node.text import TextPieces
from tests.text import vocabularies

Vocabulary = Callable[[], PreTrainedTokenizerFast]
ALL = [
    vocabularies.demo,
    vocabularies.byte_level,
    vocabularies.byte_fallback,
    vocabularies.metaspace,
    vocabularies.word_piece,
    vocabularies.word_ends,
    vocabularies.slow,
]
WITHOUT_BYTES = [vocabularies.metaspace, vocabularies.word_piece, vocabularies.word_ends]
SCRIPTS = 'ひらがなで書く。 สวัสดีครับ https://example.org/a?b=c {"a": [1, 2]} 👩‍👩‍👧 don\'t stop .'


def pieces_of(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], skip: bool = True) -> list[str]:
    pieces = TextPieces(tokenizer, skip_special_tokens=skip)
    return [*(pieces.push(one) for one in ids), pieces.end()]


@pytest.mark.parametrize("vocabulary", ALL)
@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=40)
@given(text=st.text(max_size=40) | st.sampled_from([SCRIPTS, vocabularies.TEXT]))
@example(text="<s> leading space</s>  . ' x")
def test_the_pieces_are_the_text_that_the_tokenizer_decodes(vocabulary: Vocabulary, skip: bool, text: str) -> None:
    tokenizer = vocabulary()
    ids = tokenizer(text)["input_ids"]
    assert "".join(pieces_of(tokenizer, ids, skip)) == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("vocabulary", [vocabularies.demo, vocabularies.byte_level, *WITHOUT_BYTES])
@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=40)
@given(data=st.data())
def test_a_model_may_write_any_tokens_in_any_order(vocabulary: Vocabulary, skip: bool, data: st.DataObject) -> None:
    tokenizer = vocabulary()
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    assert "".join(pieces_of(tokenizer, ids, skip)) == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("vocabulary", [vocabularies.demo, vocabularies.byte_level, vocabularies.byte_fallback])
def test_kana_thai_urls_and_json_come_character_by_character(vocabulary: Vocabulary) -> None:
    tokenizer = vocabulary()
    ids = tokenizer(SCRIPTS)["input_ids"]
    pieces = pieces_of(tokenizer, ids)
    assert pieces[-1] == ""
    for count in range(1, len(ids) + 1):
        decoded = tokenizer.decode(ids[:count], skip_special_tokens=True)
        if not decoded.endswith("\N{REPLACEMENT CHARACTER}"):
            assert "".join(pieces[:count]) == decoded


def test_an_unfinished_character_at_the_end_is_written_as_a_replacement_character() -> None:
    tokenizer = vocabularies.byte_level()
    pieces = pieces_of(tokenizer, tokenizer("a日")["input_ids"][:-1])
    assert "".join(pieces[:-1]) == "a" and pieces[-1] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("vocabulary", [vocabularies.byte_level, vocabularies.byte_fallback])
def test_bytes_that_are_no_text_do_not_hold_the_stream_up(vocabulary: Vocabulary) -> None:
    tokenizer = vocabulary()
    invalid = tokenizer.convert_tokens_to_ids("<0xFF>" if vocabulary is vocabularies.byte_fallback else "ÿ")
    pieces = pieces_of(tokenizer, [invalid] * 200 + tokenizer("x")["input_ids"])
    assert len("".join(pieces[:10])) >= 6
    assert "".join(pieces) == "\N{REPLACEMENT CHARACTER}" * 200 + tokenizer.decode(
        [invalid, *tokenizer("x")["input_ids"]]
    ).lstrip("\N{REPLACEMENT CHARACTER}")


def test_characters_stay_when_byte_tokens_break_off_after_them() -> None:
    tokenizer = vocabularies.byte_fallback()
    ids = tokenizer.convert_tokens_to_ids(["<0xE6>", "<0x97>", "<0xA5>", "<0xE6>", "▁fox"])
    assert "".join(pieces_of(tokenizer, ids)) == "日\N{REPLACEMENT CHARACTER} fox"


def test_a_special_token_is_written_if_it_is_asked_for() -> None:
    tokenizer = vocabularies.byte_level()
    pieces = TextPieces(tokenizer, keep=["<|im_start|>"])
    ids = tokenizer("a<|im_start|>b<|im_end|>")["input_ids"]
    assert [pieces.push(one) for one in ids] == ["a", "<|im_start|>", "b", ""]


def test_the_ten_thousandth_token_costs_what_the_first_did(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = vocabularies.byte_level()
    decoded: list[int] = []
    whole = tokenizer.decode

    def watched(ids: list[int], **options: bool) -> str:
        decoded.append(len(ids))
        return str(whole(ids, **options))

    monkeypatch.setattr(tokenizer, "decode", watched)
    pieces = TextPieces(tokenizer)
    for one in tokenizer("日本" * 1000)["input_ids"]:
        pieces.push(one)
    assert max(decoded) <= 8
