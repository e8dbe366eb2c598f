"""The picture of a swarm, from what its nodes say and what the gateway's client has met."""

from __future__ import annotations

import shlex
from typing import Any

from routing import Card, NodeState, Span
from swarm_node.client import Sight
from swarm_node.gateway.picture import join_command, picture_of
from swarm_node.gateway.settings import PICTURE_NODES
from tests.routing.nodes import node, swarm

CARD = Card("people/model", "a" * 40, "f" * 32, 6, 64, 2048, "llama", "float32", 0)
PUBLIC = "/ip4/203.0.113.7/tcp/31337/p2p/alice"
LOCAL = "/ip4/127.0.0.1/tcp/31337/p2p/bob"


def picture(*nodes: Any, silent: set[str] | None = None, round_trips: dict[str, float] | None = None) -> Any:
    sight = Sight(swarm(*nodes), round_trips or {}, frozenset())
    return picture_of(CARD, sight, silent or set(), chats=True)


def test_a_node_is_told_with_its_blocks_its_load_and_how_far_it_is() -> None:
    alice = node("alice", 0, 4, cache_tokens=1000, free_tokens=250, memory_bytes=2**30, waiting=2)
    [told] = picture(alice, round_trips={"alice": 0.01234})["nodes"]
    assert told["peer"] == "alice" and told["name"] == "…alice"
    assert (told["start"], told["end"], told["state"]) == (0, 4, "online")
    assert (told["load"], told["waiting"], told["memory_bytes"]) == (0.75, 2, 2**30)
    assert told["delay_seconds"] == 0.0123


def test_what_nobody_serves_is_told() -> None:
    told = picture(node("alice", 0, 2), node("bob", 1, 3), node("carol", 4, 6, state=NodeState.LOADING))
    assert told["coverage"] == [1, 2, 1, 0, 0, 0]
    assert told["missing"] == [{"start": 3, "end": 6}]
    assert told["free_places"] == 0


def test_a_node_that_does_not_answer_serves_nothing() -> None:
    told = picture(node("alice", 0, 6), silent={"alice"})
    assert told["nodes"][0]["state"] == "silent"
    assert told["coverage"] == [0] * 6 and told["join"] is None


def test_a_node_that_moves_tells_where() -> None:
    [told] = picture(node("alice", 0, 2, target=Span(2, 5)))["nodes"]
    assert told["target"] == {"start": 2, "end": 5}


def test_a_span_that_the_model_does_not_have_is_cut() -> None:
    [told] = picture(node("mallory", 4, 900, target=Span(700, 900)))["nodes"]
    assert (told["start"], told["end"]) == (4, 6)
    assert told["target"] == {"start": 5, "end": 6}


def test_a_crowd_is_bounded() -> None:
    told = picture(*(node(f"node-{index}", 0, 6) for index in range(PICTURE_NODES + 7)))
    assert len(told["nodes"]) == PICTURE_NODES and told["hidden_nodes"] == 7


def test_the_command_to_join_names_nodes_that_others_can_call() -> None:
    alice, bob = node("alice", 0, 6, addresses=(PUBLIC,)), node("bob", 0, 6, addresses=(LOCAL,))
    command = join_command(CARD, swarm(bob, alice, node("carol", 0, 6)))
    assert command == f"swarm node --model people/model --initial-peers {PUBLIC} --initial-peers {LOCAL}"


def test_a_model_from_a_directory_is_one_to_the_command_too() -> None:
    card = Card("model", None, "f" * 32, 6, 64, 2048, "llama", "float32", 0)
    command = join_command(card, swarm(node("alice", 0, 6, addresses=(PUBLIC,))))
    assert command == f"swarm node --model ./model --initial-peers {PUBLIC}"


def test_a_name_that_is_a_command_of_a_shell_is_quoted() -> None:
    card = Card("$(reboot); 'x'", None, "f" * 32, 6, 64, 2048, "llama", "float32", 0)
    command = join_command(card, swarm(node("alice", 0, 6, addresses=(PUBLIC,))))
    assert command is not None and shlex.split(command)[3] == "./$(reboot); 'x'"
