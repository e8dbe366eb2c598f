"""Whom the gateway answers at all, before any model is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import trio

from swarm_node.gateway import LOOPBACK_HOSTS, Gateway, Keys, OpenModels, application, plain_keys
from swarm_node.gateway.settings import BODY_BYTES

KEYS = Keys(plain_keys(["alices-key"], "here"))


class Reply:
    def __init__(self, messages: Sequence[Any]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.text = b"".join(message.get("body", b"") for message in messages[1:]).decode()

    @property
    def error(self) -> Any:
        return json.loads(self.text)["error"]


def ask(
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    keys: Keys | None = None,
    origins: Sequence[str] = (),
) -> Reply:
    """One request to a gateway that serves no model."""
    app = application(
        Gateway(OpenModels([]), keys or Keys()),
        allowed_origins=origins,
        allowed_hosts=None if keys else LOOPBACK_HOSTS,
    )
    sent = {"host": "127.0.0.1:8000", **(headers or {})}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "server": ("127.0.0.1", 8000), "http_version": "1.1", "state": {},
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    incoming = [body[start : start + 2**16] for start in range(0, len(body), 2**16)] or [b""]
    messages: list[Any] = []

    async def receive() -> Any:
        if not incoming:
            await trio.sleep_forever()
        part = incoming.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(incoming)}

    async def send(message: Any) -> None:
        messages.append(message)

    async def main() -> None:
        with trio.fail_after(10):
            await app(scope, receive, send)

    trio.run(main)
    return Reply(messages)


post = partial(ask, "/v1/chat/completions", method="POST")


def test_whoever_has_a_key_may_ask_by_either_header() -> None:
    assert ask("/v1/models", keys=KEYS).status == 401
    assert ask("/v1/models", keys=KEYS).error["code"] == "invalid_api_key"
    assert ask("/v1/models", keys=KEYS, headers={"authorization": "Bearer nobodys"}).status == 401
    assert ask("/v1/models", keys=KEYS, headers={"authorization": "Bearer alices-key"}).status == 200
    assert ask("/v1/models", keys=KEYS, headers={"x-api-key": "alices-key"}).status == 200


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_some_pages_need_no_key(path: str) -> None:
    assert ask(path, keys=KEYS).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/v1/nothing", "/v1/chat/completions"])
def test_all_else_needs_one(path: str) -> None:
    assert ask(path, keys=KEYS).status == 401


def test_a_name_that_points_here_by_a_trick_is_not_answered() -> None:
    refused = ask("/v1/models", headers={"host": "evil.example:8000"})
    assert refused.status == 403 and "evil.example" in refused.error["message"]
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"):
        assert ask("/v1/models", headers={"host": host}).status == 200


def test_who_is_turned_away_reads_it_in_the_form_of_the_api_that_was_asked() -> None:
    refused = ask("/v1/messages", method="POST", headers={"host": "evil.example:8000"})
    assert refused.status == 403
    assert json.loads(refused.text)["type"] == "error" and refused.error["type"] == "permission_error"


def test_pages_of_other_hosts_may_not_ask_unless_allowed() -> None:
    origin = {"origin": "https://example.org"}
    assert post(headers=origin).status == 403
    assert "access-control-allow-origin" not in ask("/health", headers=origin, keys=KEYS).headers
    assert ask("/v1/models", headers={"origin": "http://127.0.0.1:8000"}).status == 200
    assert ask("/v1/models", headers={"origin": "http://["}).status == 403
    allowed = ask("/v1/models", headers=origin, origins=["https://example.org"])
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://example.org"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "Invalid JSON"),
        (b"{", 400, "Invalid JSON"),
        (b"[" * 100_000, 400, "Invalid JSON"),
        (b"\xff\xfe", 400, "Invalid JSON"),
        (b"[]", 400, "object"),
        (b"{}", 400, "model: Field required"),
        (b'{"model": "' + b"x" * 300 + b'", "messages": [{"role": "user"}]}', 400, "model: "),
        (b'{"model": "x", "temperature": NaN, "messages": [{"role": "user"}]}', 400, "temperature"),
        (b'{"model": "x", "temperature": 1e999, "messages": [{"role": "user"}]}', 400, "temperature"),
        (b'{"model": "x", "messages": [{"role": "user"}], "tools": [{"type": "function", "function": {"name": "f", '
         b'"parameters": {"maximum": 1e999}}}]}', 400, "1e999 is larger than any number can be"),
        (b'{"model": "x", "messages": [{"role": "user"}], "unknown": ' + b"9" * 5000 + b"}", 400, "out of range"),
        (b'{"model": "x", "messages": [{"role": "user"}], "stop": [""]}', 400, "stop.0: String should have at least 1"),
        (b'{"model": "x", "messages": [{"role": "user"}], "top_logprobs": 3}', 400, "top_logprobs needs logprobs"),
        (b'{"model": "x", "messages": [{"role": "user"}]}', 404, "'x' is not served here"),
        (b" " * (BODY_BYTES + 1), 413, "shorten it"),
    ],
    ids=["nothing", "half", "deep", "no text", "a list", "no fields", "a long name", "not a number", "infinite",
         "infinite inside", "a long number", "one of a list", "two fields", "an unknown model", "too long"],
)  # fmt: skip
def test_a_body_that_cannot_be_is_told_so_in_one_line(body: bytes, status: int, says: str) -> None:
    reply = post(body=body)
    assert reply.status == status
    assert says in reply.error["message"]
    assert "\n" not in reply.error["message"] and len(reply.error["message"]) < 300


@pytest.mark.parametrize(
    ("path", "says"), [("/v1/v1/messages", "without /v1"), ("/chat/completions", "ends in /v1"), ("/x", "see /docs")]
)
def test_a_base_url_that_is_not_the_clients_own_is_told(path: str, says: str) -> None:
    assert says in ask(path, method="POST").error["message"]


def test_a_method_that_a_path_does_not_know_is_told_those_that_it_does() -> None:
    refused = ask("/v1/models", method="POST")
    assert refused.status == 405 and "GET" in refused.headers["allow"]


def test_the_description_names_every_path_and_field() -> None:
    told = json.loads(ask("/openapi.json").text)
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models", "/health"} <= told["paths"].keys()
    assert "max_completion_tokens" in told["components"]["schemas"]["ChatRequest"]["properties"]
    page = ask("/docs")
    assert "max_completion_tokens" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_prometheus_reads_what_happened() -> None:
    assert "swarm_gateway_requests_total" in ask("/metrics").text
