"""Folders of a test's own: an import root and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import Settings


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
