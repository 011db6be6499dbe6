"""What tests of releases and of the public pages need: keys to sign with, and a base from which rows must go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from expunge.signing import KeyFiles, generate_keys
from takedowns.releases import services
from tests.factories import make_dataset, make_rows, make_version, run_jobs
from tests.factories_takedowns import Team, make_removal, make_team

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from registry.datasets.models import Dataset, Version
    from takedowns.releases.models import Release
    from takedowns.removals.models import Removal


@dataclass(frozen=True)
class Setting:
    """A dataset of two shards of ten rows each, and a removal of two rows of the first."""

    team: Team
    dataset: Dataset
    base: Version
    removal: Removal


@pytest.fixture
def keys(settings: LazySettings, tmp_path: Path) -> KeyFiles:
    made = generate_keys(tmp_path / "keys")
    settings.MINISIGN_KEY, settings.OMS_KEY = made.minisign_key, made.oms_key
    return made


@pytest.fixture
def setting(db: None, settings: LazySettings, tmp_path: Path, keys: KeyFiles) -> Setting:
    settings.STORE = tmp_path / "store"
    return make_setting()


def make_setting() -> Setting:
    team = make_team()
    dataset = make_dataset(team.organisation)
    shards = {"a/0.parquet": make_rows(), "a/1.csv": make_rows(host="other.example.com")}
    base = make_version(dataset, "2025-01-01", shards)
    removal = make_removal(
        team,
        dataset,
        ["https://img.example.com/1.jpg", "https://img.example.com/7.jpg", "https://absent.example.com/"],
    )
    return Setting(team, dataset, base, removal)


@pytest.fixture
def verified(setting: Setting) -> Release:
    """A release that was built and verified, not published."""
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    release.refresh_from_db()
    assert release.state == "verified", release.failure
    return release


@pytest.fixture
def published(setting: Setting, verified: Release) -> Release:
    return services.release_publish(actor=setting.team.maintainer, release=verified)
