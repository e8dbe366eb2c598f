"""What goes to standard error besides errors: nothing but warnings, unless --debug asks for everything."""

from __future__ import annotations

import logging


def configure(debug: bool) -> None:
    """Set up logging for one command."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("asyncio", "urllib3", "filelock", "huggingface_hub", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
