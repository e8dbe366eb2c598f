"""What people who know transformers try first."""

from __future__ import annotations

from typing import Any

import pytest

from routing.errors import UsageError
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.generate.arguments import peer_addresses


@pytest.mark.parametrize("given", ["/a/p2p/1,/b/p2p/2", "/a/p2p/1 /b/p2p/2", ["/a/p2p/1", "/b/p2p/2"]])
def test_peers_may_be_one_text(given: Any) -> None:
    assert peer_addresses(given) == ["/a/p2p/1", "/b/p2p/2"]


@pytest.mark.parametrize("given", ["", [], [None]])
def test_no_peers_are_refused_by_the_parameters_name(given: Any) -> None:
    with pytest.raises(UsageError, match="initial_peers needs"):
        AutoSwarmModelForCausalLM.from_pretrained("anything", initial_peers=given)


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ({"device_map": "auto"}, 'device="cuda"'),
        ({"token": "hf_x"}, "HF_TOKEN"),
        ({"cache_dir": "/tmp"}, "HF_HOME"),
        ({"trust_remote_code": True}, "never run here"),
    ],
)
def test_an_argument_of_transformers_is_refused_with_what_to_do_instead(argument: dict[str, Any], instead: str) -> None:
    with pytest.raises(UsageError, match=instead):
        AutoSwarmModelForCausalLM.from_pretrained("anything", initial_peers="/a/p2p/1", **argument)


def test_a_misspelt_argument_is_a_type_error_as_everywhere_in_python() -> None:
    with pytest.raises(TypeError, match="inital_peers"):
        AutoSwarmModelForCausalLM.from_pretrained("anything", initial_peers="/a/p2p/1", inital_peers="/a/p2p/1")
