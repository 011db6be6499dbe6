"""A version that may be served somewhere, and its maintainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts.models import Role
from tests.factories import make_member, make_version

if TYPE_CHECKING:
    from registry.accounts.models import User
    from registry.datasets.models import Version


@pytest.fixture
def version() -> Version:
    return make_version()


@pytest.fixture
def maintainer(version: Version) -> User:
    return make_member(version.dataset.organisation, Role.MAINTAINER)
