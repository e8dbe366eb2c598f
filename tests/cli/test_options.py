"""What options offer is what there is behind them."""

from __future__ import annotations

from cli.options import QuantName
from swarm_node.model import Quant


def test_blocks_can_be_kept_in_each_way_that_a_node_offers() -> None:
    assert [name.value for name in QuantName] == [quant.value for quant in Quant]
