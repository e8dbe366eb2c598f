"""Sizes of memory as people read them, and the cache that they leave."""

from routing import cache_tokens, describe_bytes


def test_cache_is_what_the_weights_leave() -> None:
    assert cache_tokens(100, block_bytes=10, token_bytes=3, hosted=4) == 20


def test_sizes_are_written_so_that_they_suffice() -> None:
    assert describe_bytes(1023) == "1023B"
    assert describe_bytes(1536) == "1.5KiB"
    assert describe_bytes(1024**3 + 1) == "1.1GiB"
