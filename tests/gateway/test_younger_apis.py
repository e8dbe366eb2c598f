"""The real clients of Responses and Messages, against three node processes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.gateway.serving import GatewayProcess

pytestmark = pytest.mark.slow

TEMPLATE = """\
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>
{% endfor %}{% endfor %}assistant: <think>{% if not enable_thinking %}</think>{% endif %}"""
QUESTION = "Tell me a story."
GREEDY = {"temperature": 0}
"""The package knows no temperature any more; its users' older programs do."""
ASK: list[anthropic.types.MessageParam] = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def chat_model(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a template that tells how thoughts and calls are written."""
    path = tmp_path_factory.mktemp("models") / "chatty"
    shutil.copytree(chat_model, path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path


@pytest.fixture(scope="module")
def anthropics(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    """Anthropic's own package."""
    url = gateway.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key="none needed", max_retries=0, timeout=60) as client:
        yield client


def test_a_response_is_the_same_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="chatty", input=QUESTION, max_output_tokens=12, temperature=0)
    with client.responses.stream(model="chatty", input=QUESTION, max_output_tokens=12, temperature=0) as stream:
        events = list(stream)

    assert whole.output_text and whole.status == "incomplete"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].type == "response.incomplete" and events[-1].response.usage == whole.usage
    assert whole.usage is not None and whole.usage.output_tokens == 12


def test_a_response_is_what_chat_completions_write(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(
        model="chatty", messages=[{"role": "user", "content": QUESTION}], max_tokens=12, temperature=0
    )
    response = client.responses.create(model="chatty", input=QUESTION, max_output_tokens=12, temperature=0)

    assert response.output_text == chat.choices[0].message.content


def test_a_response_tells_its_tokens_probabilities(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="chatty", input=QUESTION, max_output_tokens=5, temperature=0, top_logprobs=2,
        include=["message.output_text.logprobs"],
    )  # fmt: skip

    (message,) = response.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text" and part.logprobs is not None and len(part.logprobs) == 5
    assert "".join(token.token for token in part.logprobs) == part.text
    assert all(
        len(token.top_logprobs) == 2 and token.top_logprobs[0].logprob == token.logprob for token in part.logprobs
    )


def test_a_response_follows_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"rain": {"type": "boolean"}},
        "required": ["rain"],
        "additionalProperties": False,
    }
    response = client.responses.create(
        model="chatty",
        input=QUESTION,
        temperature=0,
        max_output_tokens=40,
        text={"format": {"type": "json_schema", "name": "weather", "schema": schema, "strict": True}},
    )

    assert isinstance(json.loads(response.output_text)["rain"], bool)


def test_a_response_calls_the_function_that_it_must(client: openai.OpenAI) -> None:
    tool: openai.types.responses.FunctionToolParam = {
        "type": "function",
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"rain": {"type": "boolean"}},
            "required": ["rain"],
            "additionalProperties": False,
        },
    }
    response = client.responses.create(
        model="chatty", input=QUESTION, temperature=0, max_output_tokens=60, tools=[tool], tool_choice="required"
    )

    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.name == "weather" and isinstance(json.loads(call.arguments)["rain"], bool)


def test_a_response_thinks_if_it_is_asked_to(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="chatty", input=QUESTION, temperature=0, max_output_tokens=12, reasoning={"effort": "low"}
    )

    (thought,) = response.output
    assert thought.type == "reasoning" and thought.content and thought.content[0].text
    assert response.usage is not None and response.usage.output_tokens_details.reasoning_tokens == 12


def test_a_response_to_come_back_to_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="keeps nothing"):
        client.responses.create(model="chatty", input=QUESTION, previous_response_id="resp_1")


def test_a_message_is_the_same_whole_and_streamed(anthropics: anthropic.Anthropic) -> None:
    whole = anthropics.messages.create(model="chatty", max_tokens=12, messages=ASK, extra_body=GREEDY)
    with anthropics.messages.stream(model="chatty", max_tokens=12, messages=ASK, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        streamed = stream.get_final_message()

    (block,) = whole.content
    assert block.type == "text" and block.text and block.text == text
    assert (streamed.stop_reason, whole.stop_reason) == ("max_tokens", "max_tokens")
    assert streamed.usage.output_tokens == whole.usage.output_tokens == 12


def test_a_messages_prompt_is_as_long_as_it_was_counted(anthropics: anthropic.Anthropic) -> None:
    counted = anthropics.messages.count_tokens(model="chatty", system="Be kind.", messages=ASK)
    usage = anthropics.messages.create(model="chatty", max_tokens=1, system="Be kind.", messages=ASK).usage

    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_a_message_thinks_if_it_is_asked_to(anthropics: anthropic.Anthropic) -> None:
    with anthropics.messages.stream(
        model="chatty", max_tokens=12, messages=ASK, extra_body=GREEDY, thinking={"type": "adaptive"}
    ) as stream:
        message = stream.get_final_message()

    (block,) = message.content
    assert block.type == "thinking" and block.thinking and block.signature
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 12


def test_a_message_may_ask_for_more_tokens_than_the_context_has(anthropics: anthropic.Anthropic) -> None:
    message = anthropics.messages.create(
        model="chatty", max_tokens=32_000, messages=ASK, extra_body=GREEDY, stop_sequences=["e"], timeout=60
    )

    assert message.stop_reason == "stop_sequence"


def test_a_message_ends_at_a_stop_sequence_and_names_it(anthropics: anthropic.Anthropic) -> None:
    whole = anthropics.messages.create(model="chatty", max_tokens=12, messages=ASK, extra_body=GREEDY)
    (block,) = whole.content
    assert block.type == "text"
    word = block.text.split()[1]

    stopped = anthropics.messages.create(
        model="chatty", max_tokens=12, messages=ASK, extra_body=GREEDY, stop_sequences=["never said", word]
    )

    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    (cut,) = stopped.content
    assert cut.type == "text" and cut.text == block.text.partition(word)[0]


def test_a_message_uses_the_tool_that_it_must(anthropics: anthropic.Anthropic) -> None:
    tool: anthropic.types.ToolParam = {
        "name": "weather",
        "input_schema": {
            "type": "object",
            "properties": {"rain": {"type": "boolean"}},
            "required": ["rain"],
            "additionalProperties": False,
        },
    }
    with anthropics.messages.stream(
        model="chatty", max_tokens=60, messages=ASK, extra_body=GREEDY, tools=[tool],
        tool_choice={"type": "tool", "name": "weather"},
    ) as stream:  # fmt: skip
        message = stream.get_final_message()

    (use,) = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert use.name == "weather" and isinstance(use.input["rain"], bool)


def test_a_message_uses_one_tool_if_that_is_asked(anthropics: anthropic.Anthropic) -> None:
    tool: anthropic.types.ToolParam = {"name": "now", "input_schema": {"type": "object", "additionalProperties": False}}
    message = anthropics.messages.create(
        model="chatty", max_tokens=120, messages=ASK, extra_body=GREEDY, tools=[tool],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )  # fmt: skip
    assert [block.type for block in message.content].count("tool_use") == 1
    assert message.stop_reason == "tool_use"


def test_anthropics_client_lists_the_models(anthropics: anthropic.Anthropic) -> None:
    (model,) = anthropics.models.list()
    assert (model.id, model.type, model.display_name) == ("chatty", "model", "chatty")
    assert anthropics.models.retrieve("chatty").created_at == model.created_at


def test_a_message_of_an_unknown_model_is_not_found(anthropics: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="'nobody' is not served here"):
        anthropics.messages.create(model="nobody", max_tokens=1, messages=ASK)


NPM = Path(__file__).parent / "npm"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here: install Debian's nodejs and npm")
@pytest.mark.skipif(
    not (NPM / "node_modules" / "openai").is_dir(),
    reason="there is no npm client here: npm ci --prefix tests/gateway/npm",
)
def test_the_npm_client_reads_the_same_answers(gateway: GatewayProcess, client: openai.OpenAI) -> None:
    told = subprocess.run(["node", NPM / "talk.js", gateway.url, "chatty"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    answers = json.loads(told.stdout)

    chat = client.chat.completions.create(
        model="chatty", messages=[{"role": "user", "content": QUESTION}], max_tokens=12, temperature=0
    )
    assert answers.pop("models") == ["chatty"] and answers.pop("refused") == "model_not_found"
    assert set(answers.values()) == {chat.choices[0].message.content}
