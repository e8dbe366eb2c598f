"""Which models a swarm has, by what its nodes say; what a liar among them can do, and what he cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from routing import Card, NodeState, Snapshot, free_places, longest_line, matching, models_there
from tests.routing.nodes import node, swarm

QWEN = Card("Qwen/Qwen3-0.6B", "a" * 40, "f" * 32, 4, 64, 2048, "qwen3", "bfloat16", 10**9)
LLAMA = Card("llama", None, "1234567890abcdef", 2, 48, None, "llama", "float32", 10**6)


def snapshots(**nodes: Any) -> dict[str, Snapshot]:
    """By model: those of QWEN and of LLAMA."""
    return {
        card.fingerprint: swarm(*found)
        for card, found in ((QWEN, nodes.get("qwen", ())), (LLAMA, nodes.get("llama", ())))
    }


def test_a_swarm_without_cards_has_no_models() -> None:
    assert models_there({}, snapshots(qwen=[node("alice", 0, 4)])) == ()


def test_models_that_can_be_used_come_first_then_those_of_many_nodes() -> None:
    there = models_there(
        {"alice": QWEN, "bob": QWEN, "carol": LLAMA},
        snapshots(qwen=[node("alice", 0, 2), node("bob", 1, 3)], llama=[node("carol", 0, 2)]),
    )
    assert [model.card for model in there] == [LLAMA, QWEN]
    assert [model.covered for model in there] == [True, False]
    assert [str(span) for span in there[1].missing] == ["3:4"]


def test_a_card_without_a_node_behind_it_lists_nothing() -> None:
    assert models_there({"ghost": QWEN, "carol": LLAMA}, snapshots(llama=[node("carol", 0, 2)]))[0].card == LLAMA
    assert len(models_there({"ghost": QWEN, "carol": LLAMA}, snapshots(llama=[node("carol", 0, 2)]))) == 1


def test_where_cards_differ_that_of_most_nodes_wins() -> None:
    lie = replace(QWEN, name="meta/Llama", blocks=1)
    nodes = [node("alice", 0, 2), node("bob", 2, 4), node("mallory", 0, 4)]
    (model,) = models_there({"alice": QWEN, "bob": QWEN, "mallory": lie}, snapshots(qwen=nodes))
    assert model.cards == (QWEN, lie)


def test_among_as_many_that_whose_nodes_serve_more_blocks_wins() -> None:
    copy = replace(QWEN, name="my-qwen", revision=None)
    nodes = [node("alice", 0, 4), node("bob", 0, 1)]
    (model,) = models_there({"alice": copy, "bob": QWEN}, snapshots(qwen=nodes))
    assert model.card == copy


def test_where_nothing_else_decides_a_model_of_the_hub_goes_before_a_directory() -> None:
    copy = replace(QWEN, name="Copy", revision=None)
    nodes = [node("alice", 0, 4), node("bob", 0, 4)]
    (model,) = models_there({"alice": copy, "bob": QWEN}, snapshots(qwen=nodes))
    assert model.card == QWEN


def test_a_node_that_only_loads_makes_its_model_known_but_not_covered() -> None:
    (model,) = models_there({"alice": LLAMA}, snapshots(llama=[node("alice", 0, 2, state=NodeState.LOADING)]))
    assert not model.covered


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (QWEN.name, [QWEN]),
        ("llama", [LLAMA]),
        ("123456", [LLAMA]),
        (QWEN.fingerprint, [QWEN]),
        ("my-qwen", [QWEN]),
        ("12345", []),
        ("Qwen", []),
        ("", []),
    ],
)
def test_a_model_goes_by_any_name_that_nodes_give_it_or_the_beginning_of_its_fingerprint(
    wanted: str, found: list[Card]
) -> None:
    there = models_there(
        {"alice": QWEN, "bob": QWEN, "dave": replace(QWEN, name="my-qwen"), "carol": LLAMA},
        snapshots(qwen=[node("alice", 0, 4), node("bob", 0, 4), node("dave", 0, 4)], llama=[node("carol", 0, 2)]),
    )
    assert [model.card for model in matching(there, wanted)] == found


def test_free_places_are_those_of_the_block_with_the_least_room() -> None:
    roomy, tight = node("alice", 0, 2, free_tokens=2 * 100 * 7), node("bob", 1, 4, free_tokens=3 * 100 * 2)
    late = node("carol", 2, 4, free_tokens=10**6, state=NodeState.LOADING)
    assert free_places(swarm(roomy, tight, late), 4, 100) == 2
    assert free_places(swarm(roomy), 4, 100) == 0


def test_a_node_that_claims_more_blocks_than_there_are_adds_none() -> None:
    assert free_places(swarm(node("mallory", 0, 1000, free_tokens=10**6)), 4, 100) == 10


def test_who_waits_stands_in_many_lines_and_is_counted_once() -> None:
    assert longest_line(swarm(node("alice", 0, 2, waiting=3), node("bob", 0, 4, waiting=2))) == 3
    assert longest_line(swarm()) == 0
