"""How the two younger APIs answer over HTTP: silence, errors, keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import pytest
import trio
from trio.testing import MockClock

from routing.errors import BlocksNotCovered
from swarm_node.gateway.app import application
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.keys import Key, KeyRecord, Keys
from swarm_node.gateway.served import OpenModels
from swarm_node.gateway.turn import Event, Turn
from tests.gateway.answers import WEATHER, answer

RESPONSE = {"model": "demo", "input": "Hello"}
MESSAGE = {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
LOST = BlocksNotCovered("no node serves block 3; wait for one")

Script = Callable[[], AsyncIterator[Event]]


@dataclass
class Scripted(Gateway):
    """A gateway whose answers are written beforehand."""

    script: Script = field(kw_only=True)

    @asynccontextmanager
    async def turns(self, turn: Turn, key: Key) -> AsyncIterator[AsyncIterator[Event]]:
        yield self.script()


@dataclass
class Reply:
    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[str]:
        """Their names."""
        return [line.removeprefix("event: ") for line in self.text.splitlines() if line.startswith("event: ")]


def ask(make: Callable[[], Gateway], path: str, body: Any, **headers: str) -> Reply:
    """What a client gets, on a clock that runs as fast as it can."""
    reply = Reply(0, "")

    async def main() -> None:
        await application(make())(scope, receive, send)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in sent:
            return message
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        reply.status = message.get("status", reply.status)
        reply.text += message.get("body", b"").decode()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return reply


def scripted(script: Script) -> Callable[[], Gateway]:
    return lambda: Scripted(OpenModels([]), script=script)


def empty() -> Gateway:
    return Gateway(OpenModels([]))


async def slow() -> AsyncIterator[Event]:
    events = answer(*WEATHER)
    await trio.sleep(25)
    for event in events:
        yield event


async def breaking() -> AsyncIterator[Event]:
    for event in answer(*WEATHER)[:4]:
        yield event
    await trio.sleep(1)
    raise LOST


async def broken() -> AsyncIterator[Event]:
    raise LOST
    yield


def test_a_waiting_client_of_messages_gets_the_beginning_at_once_and_a_ping_now_and_then() -> None:
    reply = ask(scripted(slow), "/v1/messages", {**MESSAGE, "stream": True})

    assert reply.events[:4] == ["message_start", "ping", "ping", "content_block_start"]
    assert reply.events[-1] == "message_stop"


def test_a_waiting_client_of_responses_gets_the_beginning_at_once_and_a_comment_now_and_then() -> None:
    reply = ask(scripted(slow), "/v1/responses", {**RESPONSE, "stream": True})

    assert reply.events[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert reply.text.count(": keepalive\n\n") == 2
    assert reply.events[-1] == "response.completed"


def test_a_block_lost_in_the_middle_ends_a_stream_of_responses_as_failed() -> None:
    reply = ask(scripted(breaking), "/v1/responses", {**RESPONSE, "stream": True})

    assert reply.status == 200 and reply.events[-1] == "response.failed"
    failed = json.loads(reply.text.rpartition("data: ")[2])["response"]
    assert failed["error"] == {"code": "server_error", "message": str(LOST)}


def test_a_block_lost_in_the_middle_is_an_error_that_the_anthropic_package_raises() -> None:
    told = ask(scripted(breaking), "/v1/messages", {**MESSAGE, "stream": True})
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=told.text)

    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: reply)) as http,
        anthropic.Anthropic(base_url="http://swarm", api_key="none", http_client=http) as client,
        pytest.raises(anthropic.APIStatusError, match="no node serves block 3"),
        client.messages.stream(model="demo", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        stream.until_done()


@pytest.mark.parametrize("stream", [True, False])
def test_what_fails_at_once_has_its_own_status_in_the_apis_form(stream: bool) -> None:
    ours = ask(scripted(broken), "/v1/messages", {**MESSAGE, "stream": stream})
    openais = ask(scripted(broken), "/v1/responses", {**RESPONSE, "stream": stream})

    assert ours.status == 503
    assert ours.json == {"type": "error", "error": {"type": "overloaded_error", "message": str(LOST)}}
    assert openais.status == 503 and openais.json["error"]["code"] == "blocks_not_covered"


def test_an_unknown_model_is_not_found() -> None:
    reply = ask(empty, "/v1/messages", MESSAGE)
    assert reply.status == 404 and reply.json["error"]["type"] == "not_found_error"
    assert ask(empty, "/v1/messages/count_tokens", MESSAGE).status == 404
    assert ask(empty, "/v1/responses", RESPONSE).json["error"]["code"] == "model_not_found"


def test_either_apis_header_carries_the_key() -> None:
    async def at_once() -> AsyncIterator[Event]:
        for event in answer(*WEATHER):
            yield event

    def keyed() -> Gateway:
        return Scripted(OpenModels([]), Keys([KeyRecord(key="sesame-sesame")]), script=at_once)

    refused = ask(keyed, "/v1/messages", MESSAGE)
    assert refused.status == 401 and refused.json["error"]["type"] == "authentication_error"
    assert ask(keyed, "/v1/messages", MESSAGE, x_api_key="sesame-sesame").status == 200
    assert ask(keyed, "/v1/messages", MESSAGE, authorization="Bearer sesame-sesame").status == 200


def test_a_picture_is_refused_in_one_line_that_names_it() -> None:
    picture = {"role": "user", "content": [{"type": "image", "source": {}}]}
    reply = ask(empty, "/v1/messages", {**MESSAGE, "messages": [picture]})

    assert reply.status == 400 and reply.json["error"]["type"] == "invalid_request_error"
    assert "messages.0.user.content.0: 'image' is not understood here, but 'text'" in reply.json["error"]["message"]


def test_a_tool_of_openais_own_is_refused_in_one_line_that_names_it() -> None:
    reply = ask(empty, "/v1/responses", {**RESPONSE, "tools": [{"type": "web_search"}]})

    assert reply.status == 400
    assert reply.json["error"]["message"] == "tools.0: 'web_search' is not understood here, but 'function'"
