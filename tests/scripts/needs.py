"""What tests need of the machine that not every machine has."""

from __future__ import annotations

import pytest

from testbed.wan_namespaces import missing

NAMESPACES = pytest.mark.skipif(missing() is not None, reason=str(missing()))
"""Root, the program ip and TUN devices: the kernel lets nobody else make network namespaces with links between them."""
