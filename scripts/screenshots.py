"""Takes the pictures of the web page in docs/pictures: idle, writing, a node lost; on a desktop and a phone.

Needs a Chromium on PATH. It starts a gateway and a swarm of the demo model on this machine, and prints what the page
weighs and how soon it is painted.
"""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from chromium import MISSING, chromium, open_browser
from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import FreshProgram, LoggedProcess

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SPANS = (Span(0, 2), Span(2, 4), Span(4, 6), Span(0, 3), Span(3, 6))
OPTIONS = ("--threads", "1", "--dtype", "float32", "--memory", "12MiB")
READY_SECONDS = 60.0
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 780}
COLOURS = 256
"""Of a picture: it has few, and is small so."""
BEGINNINGS = ("When an exception is raised", "A list is", "The file object", "If the argument is omitted")
VISITS = 5
"""Of readers who have never been there, for the median."""
OTHERS = 9
"""Answers that others have written meanwhile, so that the nodes have something to do."""


class Gateway(LoggedProcess):
    """``swarm serve`` on a free port."""

    def __init__(self, model: str, address: str, logs: Path) -> None:
        program = FreshProgram((sys.executable, "-m", "cli.main", "serve"))
        super().__init__(program, ("--model", model, "--initial-peers", address, "--port", "0", *OPTIONS[:4]), logs)
        self.root = self.await_words(re.compile(r"^ready at (\S+)/v1\n", re.MULTILINE), READY_SECONDS, "the gateway")[1]


@dataclass(frozen=True, slots=True)
class Photographer:
    """Opens the page as different people do, and keeps what they see."""

    browser: Browser
    root: str

    @contextmanager
    def page(self, size: ViewportSize, scheme: Literal["light", "dark"]) -> Iterator[Page]:
        context = self.browser.new_context(viewport=size, color_scheme=scheme, has_touch=size is PHONE)
        with closing(context):
            page = context.new_page()
            page.goto(self.root)
            page.locator(".lanes li").first.wait_for(state="attached")
            page.wait_for_timeout(1500)  # bars have come to rest
            yield page

    def keep(self, page: Page, name: str) -> None:
        """As ``name``.png."""
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        path = PICTURES / f"{name}.png"
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def ask(page: Page, text: str) -> None:
    """Send ``text``, and wait until the answer is on its way."""
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".answer > .text").last).to_contain_text(re.compile(r"\S.{120}", re.DOTALL), timeout=60_000)


def ended(page: Page) -> None:
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible(timeout=60_000)


def longest(page: Page, tokens: int) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Longest answer, in tokens").fill(str(tokens))
    page.get_by_text("Options").click()


@contextmanager
def others_write(root: str, model: str) -> Iterator[None]:
    """Meanwhile others ask for texts, one after the other."""
    over = threading.Event()

    def write(number: int) -> None:
        while not over.is_set():
            asked = {"model": model, "prompt": BEGINNINGS[number % len(BEGINNINGS)], "max_tokens": 400}
            with urlopen(Request(root + "/v1/completions", json.dumps(asked).encode())) as answer:
                answer.read()

    threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(OTHERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def take(photographer: Photographer, swarm: LocalSwarm, model: str) -> None:
    paints: list[float] = []
    while len(paints) < VISITS:
        with photographer.page(DESKTOP, "light") as page:
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            weight = page.evaluate("performance.getEntries().reduce((sum, one) => sum + (one.decodedBodySize ?? 0), 0)")
            if len(paints) == VISITS:
                photographer.keep(page, "desktop-idle")
    told = f"first paint after {median(paints):.0f} ms (median of {VISITS} visits; the slowest: {max(paints):.0f} ms)"
    print(f"{told}, {weight / 1000:.0f} kB")
    with others_write(photographer.root, model):
        with photographer.page(DESKTOP, "light") as page:
            longest(page, 450)
            ask(page, BEGINNINGS[0])
            page.wait_for_timeout(1200)
            photographer.keep(page, "desktop-writing")
            ended(page)
        with photographer.page(PHONE, "light") as page:
            ask(page, BEGINNINGS[0])
            ended(page)
            photographer.keep(page, "phone-chat")
            longest(page, 450)
            ask(page, " In other words,")
            page.get_by_role("button", name="Swarm", exact=True).tap()
            page.wait_for_timeout(800)
            photographer.keep(page, "phone-swarm")
    with photographer.page(DESKTOP, "dark") as page:
        longest(page, 450)
        ask(page, BEGINNINGS[0])
        peer = page.locator(".lanes li.lit").last.get_attribute("data-peer")
        next(node for node in swarm.nodes if node.peer_id == peer).kill()
        page.locator('.lanes li[data-state="silent"]').wait_for()
        page.wait_for_timeout(800)
        photographer.keep(page, "dark-node-lost")


def main() -> None:
    path = chromium()
    if path is None:
        sys.exit(MISSING)
    PICTURES.mkdir(exist_ok=True)
    model = str(files("swarm_node") / "demo_model")
    with TemporaryDirectory() as logs, LocalSwarm(model, OPTIONS) as swarm, open_browser(path) as browser:
        swarm.start(SPANS)
        gateway = Gateway(model, swarm.address, Path(logs) / "gateway")
        try:
            started = time.monotonic()
            take(Photographer(browser, gateway.root), swarm, Path(model).name)
            print(f"taken in {time.monotonic() - started:.0f} s")
        finally:
            gateway.stop()


if __name__ == "__main__":
    main()
