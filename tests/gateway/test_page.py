"""The web page in real Chromium, before a real gateway and three nodes: asking, stopping, and losing a node."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.gateway.browser import ANSWER_MILLISECONDS, PHONE, Reader, answer_with, reader
from tests.gateway.serving import GatewayProcess, until_free
from tests.swarm.runs import thirds

GONE_MILLISECONDS = 45_000
"""For a dead node's record to fade."""


@pytest.fixture
def alice(browser: Browser, gateway: GatewayProcess) -> Iterator[Reader]:
    """She has opened the page. Nothing that happens may break its policy, or ask anybody but the gateway."""
    with reader(browser, gateway.url.removesuffix("/v1")) as alice:
        alice.come()
        yield alice
        assert not alice.complaints
        assert not alice.strangers()


def test_an_answer_streams_in_and_tells_its_speed_and_its_route(alice: Reader, nodes: LocalSwarm) -> None:
    alice.ask("What is a list?")
    alice.await_words()
    expect(alice.page.locator(".lanes li.lit")).to_have_count(3)
    alice.await_end()
    figures = alice.page.locator(".answer .figures").inner_text()
    assert re.fullmatch(r"\d+ tokens · [\d.]+ tokens/s · first after [\d.]+ m?s", figures)
    hops = alice.page.locator(".answer .hop").all_inner_texts()
    assert [hop.split()[-1] for hop in hops] == [str(span) for span in thirds(6)]
    names = {"…" + node.peer_id[-8:] for node in nodes.nodes}
    assert {hop.split()[0] for hop in hops} <= names


def test_stopping_keeps_what_was_written_and_frees_every_node(
    alice: Reader, nodes: LocalSwarm, chat_model: Path
) -> None:
    alice.ask("What is a list?")
    alice.await_words()
    alice.page.get_by_role("button", name="Stop").click()
    written = alice.await_end()
    assert written
    expect(alice.page.locator(".answer .note")).to_have_text("You stopped it here.")
    until_free(chat_model, nodes.address, 3.0)


@pytest.mark.slow
def test_an_answer_can_be_had_again(alice: Reader) -> None:
    alice.page.get_by_text("Options").click()
    alice.page.get_by_label("Longest answer, in tokens").fill("12")
    alice.ask("What is a list?")
    first = alice.await_end()
    alice.page.get_by_role("button", name="Regenerate").click()
    assert alice.await_end() == first, "the model writes greedily"
    assert alice.answers.count() == 1


@pytest.mark.slow
def test_a_question_can_be_changed_and_what_followed_it_goes(alice: Reader) -> None:
    answer_with(alice.page, {"content": "So be it."})
    for question in ("What is a list?", "And a tuple?"):
        alice.ask(question)
        alice.await_end()
    alice.questions.first.hover()
    alice.page.get_by_role("button", name="Edit").first.click()
    alice.page.get_by_label("Your message").fill("What is a set?")
    alice.page.get_by_role("button", name="Send again").click()
    alice.await_end()
    assert alice.questions.all_inner_texts() == ["What is a set?"]
    assert alice.answers.count() == 1


@pytest.mark.slow
def test_an_answer_goes_on_when_a_node_dies_and_its_bar_goes(alice: Reader, nodes: LocalSwarm) -> None:
    [spare] = nodes.start([thirds(6)[1]])
    expect(alice.bars).to_have_count(4)
    expect(alice.page.locator("#news")).to_contain_text("joins with blocks 2:4")
    alice.ask("What is a list?")
    alice.await_words()
    middle = alice.page.locator(".lanes li.lit").nth(1)
    peer = middle.get_attribute("data-peer")
    assert peer is not None
    victim = next(node for node in nodes.nodes if node.peer_id == peer)
    victim.process.send_signal(signal.SIGKILL)
    written = alice.await_end()
    assert len(written) > 500, "the answer went on to the end of the context"
    ways = alice.page.locator(".answer .hop").all_inner_texts()
    assert "…" + peer[-8:] not in {way.split()[0] for way in ways}, "it went another way"
    expect(alice.bar(peer)).to_have_attribute("data-state", "silent")
    expect(alice.bar(peer)).to_have_count(0, timeout=GONE_MILLISECONDS)
    expect(alice.page.locator("#news")).to_contain_text("has left; it served blocks 2:4")
    expect(alice.page.locator("#verdict")).to_have_text("Every block is served")
    assert spare.serving != victim.serving or victim is not spare


def test_conversations_survive_a_reload(alice: Reader) -> None:
    answer_with(alice.page, {"content": "It holds **things**."})
    alice.ask("What is a list?")
    alice.await_end()
    alice.page.get_by_role("button", name="New conversation").click()
    alice.ask("What is a tuple?")
    alice.await_end()
    alice.page.reload()
    assert alice.questions.all_inner_texts() == ["What is a tuple?"]
    alice.page.get_by_role("button", name="What is a list?", exact=True).click()
    assert alice.questions.all_inner_texts() == ["What is a list?"]
    assert alice.answers.locator("strong").inner_text() == "things"


@pytest.mark.slow
def test_a_conversation_is_renamed_and_deleted_and_brought_back(alice: Reader) -> None:
    answer_with(alice.page, {"content": "So be it."})
    alice.ask("What is a list?")
    alice.await_end()
    listed = alice.page.locator("#conversations .open")
    listed.hover()
    alice.page.get_by_role("button", name="Rename").click()
    alice.page.get_by_label("Title").fill("Lists")
    alice.page.keyboard.press("Enter")
    expect(listed).to_have_text(["Lists"])
    alice.page.get_by_role("button", name="Delete “Lists”").click()
    expect(listed).to_have_count(0)
    assert alice.questions.count() == 0
    alice.page.get_by_role("button", name="Undo").click()
    expect(listed).to_have_text(["Lists"])
    assert alice.questions.all_inner_texts() == ["What is a list?"]


@pytest.mark.slow
def test_whoever_reloads_in_an_answer_keeps_what_had_come(alice: Reader) -> None:
    alice.ask("What is a list?")
    alice.await_words()
    alice.page.reload()
    expect(alice.answers).not_to_be_empty()
    expect(alice.page.locator(".answer .note")).to_have_text("It ended before it was complete.")


@pytest.mark.slow
def test_an_answer_goes_on_while_another_conversation_is_read(alice: Reader) -> None:
    alice.ask("What is a list?")
    alice.await_words()
    alice.page.get_by_role("button", name="New conversation").click()
    assert alice.answers.count() == 0
    alice.page.get_by_role("button", name="What is a list?", exact=True).click()
    assert len(alice.await_end()) > 500


def test_everything_can_be_done_with_the_keyboard(alice: Reader) -> None:
    press = alice.page.keyboard.press
    press("Tab")
    expect(alice.page.get_by_text("Skip to the message")).to_be_focused()
    press("Enter")
    alice.page.keyboard.type("What is a list?")
    press("Shift+Enter")
    alice.page.keyboard.type("In one line.")
    press("Enter")
    alice.await_words()
    press("Escape")
    alice.await_end()
    assert alice.questions.all_inner_texts() == ["What is a list?\nIn one line."]
    for _ in range(60):
        press("Tab")
        if alice.page.locator(".lanes button:focus").count():
            break
    expect(alice.page.locator("#node")).to_contain_text("Away")


@pytest.mark.slow
def test_a_phone_shows_one_thing_at_a_time(browser: Browser, gateway: GatewayProcess) -> None:
    with reader(browser, gateway.url.removesuffix("/v1"), viewport=PHONE, has_touch=True) as bob:
        bob.come()
        expect(bob.bars.first).to_be_hidden()
        bob.page.get_by_role("button", name="Swarm", exact=True).tap()
        expect(bob.bars.first).to_be_visible()
        expect(bob.page.get_by_role("button", name="Send", exact=True)).to_be_hidden()
        bob.page.get_by_role("button", name="Conversations", exact=True).tap()
        expect(bob.page.get_by_role("button", name="New conversation")).to_be_visible()
        width = bob.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], "nothing has to be scrolled sideways"


@pytest.mark.slow
def test_a_gateway_with_keys_asks_for_one(
    browser: Browser, chat_model: Path, nodes: LocalSwarm, warm_gateway: Program, tmp_path: Path
) -> None:
    environment = {**os.environ, "SWARM_API_KEYS": "alices-own-key"}
    process = GatewayProcess(warm_gateway, chat_model, nodes.address, tmp_path / "serve", environment=environment)
    try:
        process.await_ready()
        with reader(browser, process.url.removesuffix("/v1")) as alice:
            alice.page.goto(alice.root + "/")
            field = alice.page.get_by_role("textbox", name="API key")
            field.fill("somebody-elses")
            alice.page.get_by_role("button", name="Use it").click()
            expect(alice.page.get_by_role("dialog")).to_contain_text("This API key is not known here")
            field.fill("alices-own-key")
            alice.page.get_by_role("button", name="Use it").click()
            alice.bars.first.wait_for()
            alice.page.reload()
            alice.bars.first.wait_for()
            alice.ask("What is a list?")
            alice.await_words()
            assert "alices-own-key" not in str(alice.page.evaluate("({...localStorage})"))
    finally:
        process.stop()


@pytest.mark.slow
def test_a_model_without_a_chat_template_goes_on_with_the_text(
    browser: Browser, plain_files: Path, nodes: LocalSwarm, warm_gateway: Program, tmp_path: Path
) -> None:
    process = GatewayProcess(warm_gateway, plain_files, nodes.address, tmp_path / "serve")
    try:
        process.await_ready()
        with reader(browser, process.url.removesuffix("/v1")) as alice:
            alice.come()
            expect(alice.page.locator("#log")).to_contain_text("it goes on with your text")
            alice.ask("When an exception is raised")
            expect(alice.page.locator(".answer .figures")).to_contain_text("tokens/s", timeout=ANSWER_MILLISECONDS)
            assert alice.await_end()
            assert not alice.complaints
    finally:
        process.stop()
