from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.lib.safe_http.servers import NameServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server
