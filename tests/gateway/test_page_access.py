"""The page for everybody: no violation of WCAG's levels A and AA that axe can find, however it is looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize, expect

from tests.gateway.browser import DESKTOP, PHONE, RICH, Reader, answer_with, reader
from tests.gateway.serving import GatewayProcess

pytestmark = pytest.mark.slow

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


def violations(reader: Reader) -> list[str]:
    found: Any = Axe().run(reader.page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(browser: Browser, gateway: GatewayProcess, scheme: str, size: ViewportSize) -> None:
    options = {"color_scheme": scheme, "viewport": size, "has_touch": size is PHONE, "reduced_motion": "reduce"}
    # axe is put into the page by evaluating text, which the page's own policy forbids.
    with reader(browser, gateway.url.removesuffix("/v1"), bypass_csp=True, **options) as alice:
        alice.come()
        assert not violations(alice), "when it is opened"
        answer_with(alice.page, {"reasoning_content": "Let me see."}, {"content": RICH})
        alice.ask("What is a list?")
        alice.await_end()
        alice.page.get_by_text("What it thought before").click()
        alice.page.get_by_text("Options").click()
        assert not violations(alice), "with an answer"
        alice.page.get_by_text("Options").click()
        alice.page.route("**/v1/chat/completions", lambda route: route.abort())
        alice.ask("And a tuple?")
        expect(alice.page.get_by_role("alert")).to_be_visible()
        assert not violations(alice), "with an error"
        if size is PHONE:
            alice.page.get_by_role("button", name="Conversations", exact=True).tap()
            assert not violations(alice), "in the list of conversations"
            alice.page.get_by_role("button", name="Swarm", exact=True).tap()
        alice.bars.locator("button").first.click()
        alice.page.get_by_text("As a table").click()
        assert not violations(alice), "with the swarm's table"


def test_a_swarm_in_trouble_is_for_everybody_too(browser: Browser, gateway: GatewayProcess) -> None:
    root = gateway.url.removesuffix("/v1")
    with reader(browser, root, bypass_csp=True, reduced_motion="reduce") as alice:
        alice.come()
        picture: dict[str, Any] = alice.page.evaluate("fetch('/swarm').then(answer => answer.json())")
        states = ["silent", "loading", "draining"]
        for node, state in zip(picture["nodes"], states, strict=True):
            node |= {"state": state, "load": 0.97, "waiting": 3}
        picture |= {"missing": [{"start": 0, "end": 6}], "coverage": [0] * 6, "free_places": 0, "waiting": 3}
        picture["nodes"].append({**picture["nodes"][1], "peer": "p" * 52, "name": "…pppppppp", "state": "online",
                                 "target": {"start": 0, "end": 2}})  # fmt: skip
        event = f"data: {json.dumps(picture)}\n\n"
        alice.page.route("**/swarm/events*", lambda route: route.fulfill(content_type="text/event-stream", body=event))
        alice.page.reload()
        expect(alice.bars).to_have_count(4)
        assert not violations(alice)


def test_a_picture_is_a_list_and_a_table_for_who_does_not_see_it(browser: Browser, gateway: GatewayProcess) -> None:
    with reader(browser, gateway.url.removesuffix("/v1")) as alice:
        alice.come()
        bars = alice.page.get_by_role("list", name="Nodes, by the blocks that they serve").get_by_role("button")
        assert all("online, blocks" in (bar.get_attribute("aria-label") or "") for bar in bars.all())
        alice.page.get_by_text("As a table").click()
        assert alice.page.locator("#table tbody tr").count() == bars.count() == 3


def test_an_answer_is_read_out_when_it_is_complete(browser: Browser, gateway: GatewayProcess) -> None:
    with reader(browser, gateway.url.removesuffix("/v1")) as alice:
        alice.come()
        answer_with(alice.page, {"content": "It holds "}, {"content": "things."})
        alice.ask("What is a list?")
        expect(alice.page.locator("#live")).to_have_text("It holds things.")


def test_nothing_moves_for_who_does_not_want_it(browser: Browser, gateway: GatewayProcess) -> None:
    with reader(browser, gateway.url.removesuffix("/v1"), reduced_motion="reduce") as alice:
        alice.come()
        alice.ask("What is a list?")
        alice.await_words()
        expect(alice.page.locator(".lanes li.lit")).to_have_count(3)
        assert alice.page.locator(".comet").count() == 0
        alice.page.keyboard.press("Escape")
