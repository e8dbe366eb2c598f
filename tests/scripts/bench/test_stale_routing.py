"""Clients with old records against an all-knowing dispatcher."""

from __future__ import annotations

import pytest

from bench.stale_routing import Cell, compare, paper_cluster


@pytest.mark.slow
def test_clients_with_old_records_come_near_central_jffc_and_below_every_other_rule() -> None:
    results = {result.policy: result for result in compare(Cell(paper_cluster(1), 0.7, 400))}

    ours = results["lanes"]
    assert 1.0 < ours.response < 1.1
    assert all(ours.response < results[rule].response for rule in ("jsq", "jiq", "sed", "sa-jsq", "random", "petals"))
    assert ours.response < results["lanes, off"].response
    assert ours.refusals > 0
