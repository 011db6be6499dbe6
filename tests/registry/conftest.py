"""A dataset with its maintainer, and folders of a test's own: an import root and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts.models import Role
from tests.factories import make_dataset, make_member

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import Settings

    from registry.accounts.models import User
    from registry.datasets.models import Dataset


@pytest.fixture
def dataset() -> Dataset:
    """A dataset without versions."""
    return make_dataset(slug="links")


@pytest.fixture
def maintainer(dataset: Dataset) -> User:
    """Who may change it."""
    return make_member(dataset.organisation, Role.MAINTAINER)


@pytest.fixture
def imports(tmp_path: Path, settings: Settings) -> Path:
    """The one import root."""
    folder = tmp_path / "imports"
    folder.mkdir()
    settings.IMPORT_ROOTS = [folder]
    return folder


@pytest.fixture
def store_folder(tmp_path: Path, settings: Settings) -> Path:
    """An empty store."""
    settings.STORE = tmp_path / "store"
    return tmp_path / "store"
