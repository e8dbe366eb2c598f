"""What the page makes of an answer's text: markdown becomes elements, and nothing of a model's becomes markup."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.gateway.browser import RICH, Reader, answer_with, reader
from tests.gateway.serving import GatewayProcess

HOSTILE = """<script>window.harmed = 1</script>
<img src=x onerror="window.harmed = 1"> <svg onload=alert(1)>

[click](javascript:alert(1)) [me](JaVaScRiPt:alert(1)) [too](data:text/html,<script>alert(1)</script>)
![a picture](https://elsewhere.example/pixel.png) [local](/v1/models) <https://elsewhere.example>

```html" onmouseover="alert(1)
<iframe src="https://elsewhere.example"></iframe>
```

| <b>head</b> | two |
| --- | --- |
| <i onclick=alert(1)>x</i> | [y](vbscript:alert) |
"""


@pytest.fixture
def alice(browser: Browser, gateway: GatewayProcess) -> Iterator[Reader]:
    with reader(browser, gateway.url.removesuffix("/v1")) as alice:
        alice.come()
        yield alice


def told(alice: Reader, *deltas: dict[str, str]) -> None:
    answer_with(alice.page, *deltas)
    alice.ask("What is a list?")
    alice.await_end()


def in_pieces(text: str) -> list[dict[str, str]]:
    return [{"content": text[start : start + 7]} for start in range(0, len(text), 7)]


def test_what_a_model_writes_stays_text(alice: Reader) -> None:
    told(alice, *in_pieces(HOSTILE))
    text = alice.answers
    assert "<script>window.harmed = 1</script>" in text.inner_text()
    assert '<img src=x onerror="window.harmed = 1">' in text.inner_text()
    assert text.locator("script, img, svg, iframe, i, b, [onclick], [onerror]").count() == 0
    links = text.locator("a").evaluate_all("links => links.map(link => [link.href, link.target, link.rel])")
    assert [href for href, _, _ in links] == ["https://elsewhere.example/pixel.png", "https://elsewhere.example/"]
    assert all(target == "_blank" and "noopener" in rel for _, target, rel in links)
    assert alice.page.evaluate("window.harmed") is None
    assert not alice.complaints
    assert not alice.strangers(), "not even a picture is fetched from elsewhere"


def test_what_somebody_types_stays_text_too(alice: Reader) -> None:
    answer_with(alice.page, {"content": "So be it."})
    alice.ask(HOSTILE)
    alice.await_end()
    assert alice.questions.inner_text().strip() == HOSTILE.strip()
    assert alice.page.locator("#conversations .open").inner_text().startswith("<script>")
    assert not alice.complaints


def test_markdown_becomes_what_it_means(alice: Reader) -> None:
    told(alice, *in_pieces(RICH))
    text = alice.answers
    assert text.locator("h3").all_inner_texts() == ["Title"]
    assert text.locator("em").all_inner_texts() == ["slanted", "both"]
    assert text.locator("strong").all_inner_texts() == ["strong", "both"]
    assert text.locator("p code").all_inner_texts() == ["code <b>"]
    assert "snake_case_word and 2 * 3 * 4." in text.locator("p").first.inner_text()
    assert text.locator("ol > li").count() == 2
    assert text.locator("ol ul > li").all_inner_texts() == ["inner", "more"]
    assert text.locator("blockquote").inner_text() == "quoted\ntwice"
    assert text.locator("th").all_inner_texts() == ["name", "value"]
    assert text.locator("td").all_inner_texts() == ["a", "1", "b", "2"]
    assert text.locator("pre").inner_text() == "def answer() -> int:\n\n    return 42"
    links = text.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert links == ["https://example.org/a_b_c?x=1", "https://example.org/"]


def test_code_can_be_copied(alice: Reader) -> None:
    alice.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    told(alice, {"content": RICH})
    alice.page.locator(".answer figure button").click()
    expect(alice.page.locator(".answer figure button")).to_have_text("Copied")
    assert alice.page.evaluate("navigator.clipboard.readText()") == "def answer() -> int:\n\n    return 42"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("*a " * 20_000, id="stars"),
        pytest.param("` `` " * 10_000, id="ticks"),
        pytest.param("[" * 40_000, id="brackets"),
        pytest.param("> " * 5_000 + "x", id="quotes"),
        pytest.param("**_~~" * 10_000, id="marks"),
        pytest.param("- " * 5_000 + "x", id="lists"),
        pytest.param("|-" * 9_000, id="tables"),
    ],
)
def test_no_text_holds_the_page_up(alice: Reader, text: str) -> None:
    told(alice, {"content": text})
    expect(alice.answers).not_to_be_empty()


def test_what_was_thought_is_folded_away(alice: Reader) -> None:
    told(alice, {"reasoning_content": "Let me **see**."}, {"content": "It is a list."})
    thought = alice.page.locator(".reasoning .text")
    expect(thought).to_be_hidden()
    alice.page.get_by_text("What it thought before").click()
    expect(thought).to_be_visible()
    assert thought.locator("strong").inner_text() == "see"


def test_an_error_is_one_line_and_the_question_can_be_sent_again(alice: Reader) -> None:
    def refuse(route: Route) -> None:
        body = {"error": {"message": "blocks 2:4 are served by nobody; wait until a node joins"}}
        route.fulfill(status=503, json=body)

    alice.page.route("**/v1/chat/completions", refuse)
    alice.ask("What is a list?")
    alert = alice.page.get_by_role("alert")
    expect(alert).to_contain_text("Blocks 2:4 are served by nobody; wait until a node joins.")
    alice.page.unroute("**/v1/chat/completions")
    answer_with(alice.page, {"content": "It holds things."})
    alert.get_by_role("button", name="Send again").click()
    assert alice.await_end() == "It holds things."
    expect(alert).to_be_hidden()
    assert alice.questions.count() == 1


def test_a_gateway_that_is_gone_is_told_in_one_line(alice: Reader) -> None:
    alice.page.route("**/v1/chat/completions", lambda route: route.abort())
    alice.ask("What is a list?")
    expect(alice.page.get_by_role("alert")).to_contain_text("The gateway does not answer.")


def test_an_answer_that_breaks_off_keeps_its_words(alice: Reader) -> None:
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "It holds"}}]})
    error = json.dumps({"error": {"message": "no chain leads through the swarm; try again"}})
    body = f"data: {chunk}\n\nevent: error\ndata: {error}\n\ndata: [DONE]\n\n"
    alice.page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    alice.ask("What is a list?")
    assert alice.await_end() == "It holds"
    expect(alice.page.locator(".answer .note")).to_have_text("It ended before it was complete.")
    expect(alice.page.get_by_role("alert")).to_contain_text("No chain leads through the swarm; try again.")
