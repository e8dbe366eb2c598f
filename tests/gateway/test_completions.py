"""Plain completions through OpenAI's package: as evaluation harnesses ask."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import torch

PROMPT = "Return a list of"


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.completions.create(**{"model": "chatty", "prompt": PROMPT, "max_tokens": 8, **options})


def plain(model: Any, tokenizer: Any, prompt: str, tokens: int) -> str:
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    output = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    text: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


def test_a_text_goes_on_as_plain_transformers_would(client: openai.OpenAI, plain_model: Any, tokenizer: Any) -> None:
    answer = ask(client)
    assert answer.choices[0].text == plain(plain_model, tokenizer, PROMPT, 8)
    assert answer.usage.prompt_tokens == len(tokenizer(PROMPT)["input_ids"])
    streamed = ask(client, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == answer.choices[0].text


def test_several_prompts_are_answered_in_order(client: openai.OpenAI, plain_model: Any, tokenizer: Any) -> None:
    prompts = ["def f(", PROMPT]
    answer = ask(client, prompt=prompts, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    expected = [plain(plain_model, tokenizer, prompt, 8) for prompt in prompts for _ in range(2)]
    assert [choice.text for choice in answer.choices] == expected


def test_a_prompt_may_be_tokens(client: openai.OpenAI, tokenizer: Any) -> None:
    ids = tokenizer(PROMPT)["input_ids"]
    expected = ask(client).choices[0].text
    assert ask(client, prompt=ids).choices[0].text == expected
    assert [choice.text for choice in ask(client, prompt=[ids, ids]).choices] == [expected] * 2


@pytest.mark.parametrize("tokens", [0, 1], ids=["the prompt alone", "one token more"])
def test_a_harness_learns_the_prompts_probabilities(
    client: openai.OpenAI, plain_model: Any, tokenizer: Any, tokens: int
) -> None:
    ids = tokenizer(PROMPT)["input_ids"]
    choice = ask(client, prompt=ids, max_tokens=tokens, echo=True, logprobs=1, temperature=0).choices[0]
    told = choice.logprobs
    assert choice.text.startswith(PROMPT)
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(ids) + tokens
    logprobs = plain_model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    assert told.token_logprobs[0] is None
    expected = [logprobs[place, token].item() for place, token in enumerate(ids[1:])]
    assert told.token_logprobs[1 : len(ids)] == pytest.approx(expected, abs=1e-3)
    for place, top in enumerate(told.top_logprobs[1 : len(ids)]):
        assert max(top.values()) == pytest.approx(logprobs[place].max().item(), abs=1e-3)
    for token, offset in list(zip(told.tokens, told.text_offset, strict=True))[1:]:
        assert choice.text[offset:].startswith(token)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_tokens": 0}, "only with echo"),
        ({"prompt": [999_999]}, "token 999999"),
        ({"prompt": ""}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 1000}, "logprobs"),
        ({"prompt": ["x"] * 1000}, "prompt"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_request_that_cannot_be_is_refused(client: openai.OpenAI, options: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        ask(client, **options)
