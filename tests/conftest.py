"""How the suite is shared between two cores."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module together, since they share its swarm; those of test_exact share none and are long."""
    for item in items:
        module = item.nodeid.partition("::")[0]
        if not module.endswith("test_exact.py"):
            item.add_marker(pytest.mark.xdist_group(module))
