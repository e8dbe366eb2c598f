"""A test with a whole swarm in its process: pytest docs/examples/test_failover.py"""

from importlib.resources import files

import torch

from routing import Span
from swarm_node.compute import StoredModel
from swarm_node.model import Quant
from swarm_node.testing import LocalNetwork, in_swarm, run_step

model = StoredModel.open(str(files("swarm_node") / "demo_model"))
hidden = torch.randn(5, model.hidden_size)


def blocks() -> object:
    return model.load(Span(0, model.blocks), torch.float32, Quant.NONE, "cpu")


def test_a_session_goes_on_when_its_node_dies() -> None:
    async def main(swarm: LocalNetwork) -> None:
        first = await swarm.node("first", blocks(), sessions=1)
        session = swarm.client("alice").open_session(16)
        await run_step(session, hidden[:4], position=0, keep=1)
        second = await swarm.node("second", blocks(), sessions=1)
        first.die()
        output = await run_step(session, hidden[4:], position=4, keep=1)
        assert output.shape == (1, model.hidden_size)
        assert second.engine.running == 1

    in_swarm(main, model)
