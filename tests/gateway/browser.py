"""A reader of the page in real Chromium, and answers that a test makes up where it is about the page alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
ANSWER_MILLISECONDS = 30_000

RICH = """# Title

Some *slanted*, **strong** and ***both***, `code <b>`, ~~gone~~, snake_case_word and 2 * 3 * 4.

1. one
2. two
   - inner
   - more

> quoted
> twice

| name | value |
| :--- | ---: |
| a | 1 |
| b | 2 |

```python
def answer() -> int:

    return 42
```

See https://example.org/a_b_c?x=1, or [here](https://example.org "title").
"""


def chromium() -> str | None:
    """Where a Chromium or Chrome is on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Reader:
    """Somebody who reads and types. What the page complains of, and whom it asks, is noted."""

    def __init__(self, page: Page, root: str) -> None:
        self.page = page
        self.root = root
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def come(self) -> None:
        """Open the page and wait until it shows a node."""
        self.page.goto(self.root + "/")
        self.bars.first.wait_for(state="attached")

    @property
    def bars(self) -> Locator:
        """Of the nodes that are in the swarm."""
        return self.page.locator(".lanes li:not(.leaving):not(.ghost)")

    def bar(self, peer: str) -> Locator:
        return self.page.locator(f'.lanes li[data-peer="{peer}"]:not(.leaving)')

    @property
    def questions(self) -> Locator:
        return self.page.locator(".question > .text")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".answer > .text")

    def ask(self, text: str) -> None:
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def await_words(self) -> None:
        """Until the last answer has begun."""
        expect(self.answers.last).not_to_be_empty(timeout=ANSWER_MILLISECONDS)

    def await_end(self) -> str:
        """Until nothing is being written; the last answer."""
        expect(self.page.get_by_role("button", name="Send", exact=True)).to_be_visible(timeout=ANSWER_MILLISECONDS)
        expect(self.page.get_by_role("button", name="Regenerate")).to_be_visible()
        return self.answers.last.inner_text()

    def strangers(self) -> list[str]:
        """Requests to anybody but the gateway."""
        own = urlsplit(self.root).netloc
        return [url for url in self.asked if urlsplit(url).netloc != own]


@contextmanager
def reader(browser: Browser, root: str, **options: Any) -> Iterator[Reader]:
    """In a window of their own that knows nothing; ``options`` as for playwright's new_context."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    try:
        yield Reader(context.new_page(), root)
    finally:
        context.close()


def stream(chunks: Sequence[Mapping[str, Any]]) -> str:
    """Chunks as a gateway would stream them."""
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def answer_with(page: Page, *deltas: Mapping[str, str]) -> None:
    """Let every chat be answered so, whatever the model would say."""
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    def fulfil(route: Route) -> None:
        route.fulfill(content_type="text/event-stream", body=stream(chunks))

    page.route("**/v1/chat/completions", fulfil)
