from __future__ import annotations

import stat
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings


def run() -> str:
    out = StringIO()
    call_command("make_signing_keys", stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.MINISIGN_KEY, settings.OMS_KEY = tmp_path / "keys/minisign.key", tmp_path / "keys/oms.key"
    return tmp_path / "keys"


def test_it_makes_keys_where_the_settings_look_and_shows_the_public_ones(folder: Path) -> None:
    said = run()
    assert sorted(path.name for path in folder.iterdir()) == [
        "minisign.key",
        "minisign.pub",
        "oms.key",
        "oms.pub",
    ]
    assert stat.S_IMODE((folder / "minisign.key").stat().st_mode) == 0o600
    assert "BEGIN PUBLIC KEY" in said
    assert "PRIVATE" not in said


def test_a_second_run_shows_the_same_keys(folder: Path) -> None:
    run()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "New keys" not in run()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_it_overwrites_nothing_that_is_in_the_folder(folder: Path) -> None:
    folder.mkdir()
    (folder / "minisign.pub").write_text("mine")
    with pytest.raises(CommandError, match="Nothing was overwritten"):
        run()
    assert [path.name for path in folder.iterdir()] == ["minisign.pub"]


def test_it_refuses_other_names_in_the_settings(folder: Path, settings: LazySettings) -> None:
    settings.OMS_KEY = folder / "other.pem"
    with pytest.raises(CommandError, match=r"oms\.key"):
        run()
    assert not folder.exists()
