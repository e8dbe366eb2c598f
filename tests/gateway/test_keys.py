"""Who may ask, and how much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

import swarm_node
from routing.errors import UsageError
from swarm_node.gateway.errors import Refused
from swarm_node.gateway.keys import KeyRecord, Keys, plain_keys, read_keys

ALICE = KeyRecord(key="alices-key", name="alice")
BOB = KeyRecord(key="bobs-own-key", name="bob", concurrent_requests=1, tokens_per_minute=600)


def simulated(main: Callable[[], Awaitable[None]]) -> None:
    """Run with a clock that jumps over waits."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_key_opens_and_others_do_not() -> None:
    keys = Keys([ALICE, BOB])
    assert keys.whose("alices-key").name == "alice"
    for wrong in (None, "", "alices-kez", "Alices-key", "ключ"):
        with pytest.raises(Refused) as refused:
            keys.whose(wrong)
        assert refused.value.problem.status == 401


def test_each_key_owns_its_own_prompts_and_nodes_cannot_tell_the_key() -> None:
    keys = Keys([ALICE, BOB])
    owners = {keys.whose(record.key).owner for record in (ALICE, BOB)}
    assert len(owners) == 2 and "" not in owners
    assert not any("key" in owner for owner in owners)


def test_without_keys_everybody_is_one_owner() -> None:
    keys = Keys()
    assert not keys
    assert keys.whose(None) is keys.whose("whatever a client must send")


def test_a_key_may_have_so_many_requests_at_once() -> None:
    async def main() -> None:
        bob = Keys([BOB]).whose("bobs-own-key")
        with bob.request():
            with pytest.raises(Refused) as refused, bob.request():
                pass
            assert refused.value.problem.status == 429
            assert refused.value.problem.retry_after is not None
        with bob.request():
            pass

    simulated(main)


def test_tokens_of_a_minute_come_back_with_time() -> None:
    async def main() -> None:
        bob = Keys([BOB]).whose("bobs-own-key")
        bob.spend(900)
        with pytest.raises(Refused) as refused, bob.request():
            pass
        wait = refused.value.problem.retry_after
        assert wait is not None and 30 <= wait <= 32
        await trio.sleep(wait)
        with bob.request():
            pass

    simulated(main)


def test_a_file_holds_one_key_a_line_or_tables(tmp_path: Path) -> None:
    plain, tables = tmp_path / "plain", tmp_path / "tables.toml"
    plain.write_text("# ours\nalices-key\n\n  bobs-own-key  \n")
    tables.write_text(
        '[[keys]]\nkey = "alices-key"\nname = "alice"\n[[keys]]\nkey = "bobs-own-key"\ntokens_per_minute = 5\n'
    )
    assert [record.key for record in read_keys(plain)] == ["alices-key", "bobs-own-key"]
    assert [(record.name, record.tokens_per_minute) for record in read_keys(tables)] == [("alice", None), ("", 5)]


def test_the_example_in_the_documentation_can_be_used_with_keys_of_one_s_own_only(tmp_path: Path) -> None:
    example = Path(swarm_node.__file__).parent.parent / "docs" / "operating" / "keys.toml"
    with pytest.raises(UsageError):
        read_keys(example)
    own = tmp_path / "keys.toml"
    text = example.read_text().replace("put a long random string here", "alices-key")
    own.write_text(text.replace("and another one here", "bobs-own-key"))
    assert [record.name for record in read_keys(own)] == ["Alice", "Bob's editor"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("short", "line 1: key"),
        ("a key with spaces", "line 1: key"),
        ("[[keys]]\nkey = 3", "key 1: key"),
        ('[[keys]]\nkey = "long-enough"\ntokens = 3', "key 1: tokens"),
        ("[[keys]]\nkey = ", "not TOML"),
        ("keys = 3 # [[keys]]", "tables"),
    ],
)
def test_a_mistake_in_a_keys_file_is_named_without_the_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as raised:
        read_keys(path)
    assert "long-enough" not in str(raised.value)


def test_the_same_key_twice_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="twice"):
        Keys(plain_keys(["alices-key", "alices-key"], "here"))
