"""Cards of models: what one node publishes, all read; what a stranger makes up is refused, or outvoted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import dht.catalogue
from dht import catalogue_of, read_models
from dht.card_record import CardRecord
from routing import Card, Span
from routing.errors import ProtocolError
from tests.dht.peers import in_trio, local_peer, view_of

QWEN = Card("Qwen/Qwen3-0.6B", "a" * 40, "f" * 32, 4, 64, 40_960, "qwen3", "bfloat16", 1_192_000_000)
FOLDER = Card("my-llama", None, "e" * 32, 4, 64, None, "llama", "float32", 10**6)
FIELDS = list(CardRecord.model_fields)


def packed(**changes: Any) -> bytes:
    """A card with some of its fields replaced by whatever a stranger likes."""
    values = dict(zip(FIELDS, msgpack.unpackb(CardRecord.from_card(QWEN).encode()), strict=True))
    return bytes(msgpack.packb(list({**values, **changes}.values())))


@pytest.mark.parametrize("card", [QWEN, FOLDER, replace(QWEN, name="gpt2"), replace(FOLDER, name="模型-7B")])
def test_a_card_survives_its_record(card: Card) -> None:
    assert CardRecord.decode(CardRecord.from_card(card).encode()).to_card() == card


def test_a_card_is_small() -> None:
    assert len(CardRecord.from_card(QWEN).encode()) < 160


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        CardRecord.decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", True),
        ("name", ""),
        ("name", "\x1b[2Jgpt2"),
        ("name", "gpt2\n"),
        ("name", "gpt\u202e2"),
        ("name", "gpt2\u200b"),
        ("name", "/home/somebody/model"),
        ("name", "home/somebody/model"),
        ("name", "../model"),
        ("name", "~/model"),
        ("name", "a/../b"),
        ("name", "--help"),
        ("name", "$(reboot)"),
        ("name", "a b"),
        ("name", "<script>"),
        ("name", "g" * 121),
        ("name", b"gpt2"),
        ("revision", "main"),
        ("revision", "A" * 40),
        ("revision", None),
        ("fingerprint", ""),
        ("fingerprint", "../x"),
        ("fingerprint", "f" * 65),
        ("blocks", 0),
        ("blocks", 2**12 + 1),
        ("blocks", 4.0),
        ("hidden_size", 0),
        ("context_length", -1),
        ("context_length", 2**60),
        ("architecture", "qwen 3"),
        ("architecture", "\x1b[31m"),
        ("dtype", "float32\x1b[2J"),
        ("size_bytes", -1),
        ("size_bytes", 2**60),
    ],
)
def test_a_field_out_of_bounds_is_refused(field: str, value: Any) -> None:
    CardRecord.decode(packed())
    with pytest.raises(ProtocolError):
        CardRecord.decode(packed(**{field: value}))


@in_trio(40)
async def test_everybody_reads_which_models_there_are(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        for peer, card, span in ((alice, QWEN, Span(0, 4)), (bob, FOLDER, Span(0, 2))):
            await catalogue_of(peer).publish(card, 60)
            await peer.directory(card.fingerprint).announce(view_of(peer, span=span), 20)
        for peer in (alice, bob, client):
            there = await read_models(peer)
            assert [model.card for model in there] == [QWEN, FOLDER]
            assert [model.covered for model in there] == [True, False]
            assert [[node.peer_id for node in model.snapshot.nodes] for model in there] == [
                [alice.peer_id], [bob.peer_id],
            ]  # fmt: skip


@in_trio(40)
async def test_a_model_whose_nodes_left_is_gone_at_once(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        catalogue, directory = catalogue_of(alice), alice.directory(QWEN.fingerprint)
        await catalogue.publish(QWEN, 60)
        await directory.announce(view_of(alice), 20)
        assert len(await read_models(alice)) == 1
        await directory.withdraw()
        assert await read_models(alice) == ()
        assert list((await catalogue.cards()).values()) == [QWEN]
        await catalogue.withdraw()
        assert await catalogue.cards() == {}


@in_trio(40)
async def test_a_card_that_is_not_renewed_fades(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        catalogue = catalogue_of(alice)
        await catalogue.publish(QWEN, 1.0)
        assert len(await catalogue.cards()) == 1
        with trio.fail_after(3):
            while await catalogue.cards():
                await trio.sleep(0.05)


@in_trio(40)
async def test_a_bad_card_hides_nobody_elses(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "mallory", initial_peers=alice.addresses) as mallory,
    ):
        await catalogue_of(alice).publish(QWEN, 60)
        await mallory.board("cards").publish(b"\xff garbage", 60)
        assert await catalogue_of(alice).cards() == {alice.peer_id: QWEN}


@in_trio(40)
async def test_no_reader_takes_more_cards_than_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht.catalogue, "CARDS", 1)
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
    ):
        for peer in (alice, bob):
            await catalogue_of(peer).publish(QWEN, 60)
        seen = await catalogue_of(alice).cards()
        assert len(seen) == 1
        assert seen == await catalogue_of(alice).cards()


@in_trio(40)
async def test_a_card_that_breaks_a_bound_is_not_published(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        with pytest.raises(ProtocolError, match="name"):
            await catalogue_of(alice).publish(replace(QWEN, name="/home/alice/model"), 60)
