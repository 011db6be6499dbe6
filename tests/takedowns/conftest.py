"""Who works on the cases of a test."""

from __future__ import annotations

import pytest

from tests.factories_takedowns import Team, make_team


@pytest.fixture
def team(db: None) -> Team:
    return make_team()
