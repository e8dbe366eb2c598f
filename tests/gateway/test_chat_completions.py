"""OpenAI's chat through its own package, beside plain transformers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import torch
from transformers import LogitsProcessorList, set_seed

from swarm_node.gateway.penalties import AnswerPenalties, TokenBias

MESSAGES: list[Any] = [{"role": "user", "content": "What is a list?"}]
SAMPLED = {"temperature": 1.2, "top_p": 0.9}


def plain(model: Any, tokenizer: Any, tokens: int, seed: int | None = None, **options: Any) -> list[int]:
    """What transformers alone answers to MESSAGES."""
    inputs = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    if seed is not None:
        set_seed(seed)
    output = model.generate(**inputs, max_new_tokens=tokens, pad_token_id=0, **options)
    ids: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


def words(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "chatty", "messages": MESSAGES, "max_tokens": 16, **options})


def streamed(client: openai.OpenAI, **options: Any) -> list[Any]:
    return list(ask(client, stream=True, **options))


def content(chunks: list[Any], choice: int = 0) -> str:
    pieces = [one for chunk in chunks for one in chunk.choices if one.index == choice]
    return "".join(piece.delta.content or "" for piece in pieces)


def test_an_answer_reads_as_plain_transformers_would_write_it(
    client: openai.OpenAI, plain_model: Any, tokenizer: Any
) -> None:
    answer = ask(client)
    ids = plain(plain_model, tokenizer, 16, do_sample=False)
    assert answer.choices[0].message.content == words(tokenizer, ids)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 16


def test_a_stream_brings_the_same_text_in_pieces_and_then_what_it_took(client: openai.OpenAI) -> None:
    chunks = streamed(client, stream_options={"include_usage": True})
    whole = ask(client)
    assert content(chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_a_stream_tells_the_chain_that_carries_it_if_asked(client: openai.OpenAI) -> None:
    [routed] = [chunk for chunk in streamed(client, stream_options={"include_route": True}) if chunk.model_extra]
    spans = [(hop["start"], hop["end"]) for hop in routed.model_extra["swarm"]["route"]]
    assert spans == [(0, 2), (2, 4), (4, 6)]


def test_each_choice_is_drawn_as_its_own_seed_would_draw_it(
    client: openai.OpenAI, plain_model: Any, tokenizer: Any
) -> None:
    answer = ask(client, n=2, seed=7, **SAMPLED)
    expected = [words(tokenizer, plain(plain_model, tokenizer, 16, seed, do_sample=True, **SAMPLED)) for seed in (7, 8)]
    assert [choice.message.content for choice in answer.choices] == expected
    chunks = streamed(client, n=2, seed=7, **SAMPLED)
    assert [content(chunks, 0), content(chunks, 1)] == expected


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"extra_body": {"top_k": 3}, "temperature": 0.7}, {"do_sample": True, "temperature": 0.7, "top_k": 3}),
        ({"extra_body": {"min_p": 0.1}}, {"do_sample": True, "min_p": 0.1}),
        ({"extra_body": {"top_k": -1}}, {"do_sample": True, "top_k": 0}),
        ({"extra_body": {"repetition_penalty": 1.5}}, {"do_sample": False, "repetition_penalty": 1.5}),
        ({"temperature": 0, "top_p": 0.5}, {"do_sample": False}),
        ({"temperature": 1e-30}, {"do_sample": False}),
    ],
    ids=["top k", "min p", "no top k", "repetition penalty", "temperature 0", "a temperature next to 0"],
)
def test_options_mean_what_they_mean_to_transformers(
    client: openai.OpenAI, plain_model: Any, tokenizer: Any, asked: dict[str, Any], options: dict[str, Any]
) -> None:
    ids = plain(plain_model, tokenizer, 16, 3, **options)
    assert ask(client, seed=3, **asked).choices[0].message.content == words(tokenizer, ids)


def test_penalties_and_biases_shape_the_answer(client: openai.OpenAI, plain_model: Any, tokenizer: Any) -> None:
    banned = plain(plain_model, tokenizer, 1, do_sample=False)[0]
    prompt = ask(client).usage.prompt_tokens
    processors = LogitsProcessorList([TokenBias({banned: -100.0}), AnswerPenalties(prompt, 0.8, 0.4)])
    ids = plain(plain_model, tokenizer, 24, do_sample=False, logits_processor=processors)
    answer = ask(client, max_tokens=24, logit_bias={str(banned): -100}, frequency_penalty=0.8, presence_penalty=0.4)
    assert answer.choices[0].message.content == words(tokenizer, ids)
    assert answer.choices[0].message.content != ask(client, max_tokens=24).choices[0].message.content


def test_a_stop_string_ends_the_answer_wherever_tokens_cut_it(client: openai.OpenAI) -> None:
    whole: str = ask(client).choices[0].message.content
    stop = whole[4:11]
    for answer in (ask(client, stop=stop), ask(client, stop=["never", stop])):
        assert answer.choices[0].message.content == whole[: whole.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
    assert content(streamed(client, stop=stop)) == whole[: whole.index(stop)]


def test_probabilities_are_the_models_own(client: openai.OpenAI, plain_model: Any, tokenizer: Any) -> None:
    answer = ask(client, max_tokens=4, logprobs=True, top_logprobs=2)
    told = answer.choices[0].logprobs.content
    ids = plain(plain_model, tokenizer, 4, do_sample=False)
    prompt = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=True)["input_ids"]
    logprobs = plain_model(torch.tensor([prompt + ids])).logits[0].log_softmax(dim=-1)
    for place, token in enumerate(told):
        row = logprobs[len(prompt) - 1 + place]
        assert token.logprob == pytest.approx(row[ids[place]].item(), abs=1e-3)
        assert [top.logprob for top in token.top_logprobs] == pytest.approx(row.topk(2).values.tolist(), abs=1e-3)
    assert "".join(token.token for token in told) == answer.choices[0].message.content
    assert bytes(byte for token in told for byte in token.bytes).decode() == answer.choices[0].message.content
    chunks = streamed(client, max_tokens=4, logprobs=True)
    pieces = [one.logprobs for chunk in chunks for one in chunk.choices if one.logprobs]
    assert [token.token for piece in pieces for token in piece.content] == [token.token for token in told]


@pytest.mark.parametrize(
    "content",
    [[{"type": "text", "text": "What is a list?"}], "What is a list?"],
    ids=["a list of parts", "text"],
)
def test_content_may_be_text_or_parts(client: openai.OpenAI, content: Any) -> None:
    answer = ask(client, messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == ask(client).choices[0].message.content


@pytest.mark.parametrize("message", [{"role": "assistant", "content": None}, {"role": "assistant"}])
def test_content_may_be_null_or_absent(client: openai.OpenAI, message: Any) -> None:
    answer = ask(client, messages=[*MESSAGES, message, *MESSAGES])
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("options", "status", "code", "says"),
    [
        ({"model": "other"}, 404, "model_not_found", "'other' is not served here"),
        ({"n": 0}, 400, "invalid_value", "n: "),
        ({"temperature": -1}, 400, "invalid_value", "temperature: "),
        ({"messages": []}, 400, "invalid_value", "messages: "),
        ({"messages": [{"role": "king"}]}, 400, "invalid_value", "messages.0.role: "),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid_value", "only text"),
        ({"top_logprobs": 2}, 400, "invalid_value", "top_logprobs needs logprobs"),
        ({"logit_bias": {"99999": 1}}, 400, "invalid_value", "token 99999"),
        ({"max_tokens": 10_000}, 400, "context_length_exceeded", "lower max_tokens"),
        ({"messages": [{"role": "user", "content": "a b " * 600}]}, 400, "context_length_exceeded", "shorten it"),
        ({"stop": ["x"] * 100}, 400, "invalid_value", "stop"),
        ({"tool_choice": "required"}, 400, "invalid_value", "there are no tools"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_cannot_be_gets_a_status_and_one_line(
    client: openai.OpenAI, options: dict[str, Any], status: int, code: str, says: str, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError, match=says) as raised:
        ask(client, stream=stream, **options)
    assert raised.value.status_code == status
    assert raised.value.code == code
    assert "\n" not in raised.value.message


def test_a_model_can_be_looked_up(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chatty"]
    assert client.models.retrieve("chatty").id == "chatty"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_thirty_two_streams_at_once_all_read_right(client: openai.OpenAI) -> None:
    expected = ask(client, max_tokens=24).choices[0].message.content
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: content(streamed(client, max_tokens=24)), range(32)))
    assert answers == [expected] * 32
