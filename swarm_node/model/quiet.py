"""A time without transformers' warnings and progress bars: what they say is for model authors, not for our users."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging

_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers inside.

    Its settings are the process's, and so are the defaults of torch that it changes while it makes a model. So only
    one thread at a time is in here, and models are made only in here.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        hub_bars = not are_progress_bars_disabled()
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
            if hub_bars:
                enable_progress_bars()
