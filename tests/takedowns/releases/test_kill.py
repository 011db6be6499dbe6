"""A worker that is killed in mid-build, with real processes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F
from django.urls import reverse

from expunge.verify import verify_release
from registry.jobs.models import Job
from registry.jobs.services import jobs_resume
from takedowns.releases import services
from takedowns.releases.files import release_folder
from takedowns.releases.models import Release
from tests.factories import make_dataset, make_rows, make_version
from tests.factories_takedowns import make_removal, make_team
from tests.processes import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings
    from django.test import Client

    from expunge.signing import KeyFiles
    from registry.embedded import Servers

ROWS = 200_000


def test_a_build_killed_in_the_middle_is_done_anew_and_nothing_is_half_published(  # noqa: PLR0917  -- fixtures are given by name
    transactional_db: None,
    servers: Servers,
    settings: LazySettings,
    tmp_path: Path,
    keys: KeyFiles,
    client: Client,
) -> None:
    settings.STORE = tmp_path / "store"
    team = make_team()
    dataset = make_dataset(team.organisation)
    base = make_version(
        dataset, "v1", {f"{part}.parquet": make_rows(ROWS // 4, f"{part}.example.com") for part in "abcd"}
    )
    make_removal(team, dataset, [f"https://{part}.example.com/7.jpg" for part in "abcd"])
    with Worker(servers) as worker:
        release = services.release_build(actor=team.maintainer, base=base)
        partial = release_folder(release).with_name(f".{release.pk}.partial")
        worker.wait_for((partial / "data").exists)
        worker.kill()
    release.refresh_from_db()
    assert release.state == "building"
    assert not release_folder(release).exists()
    assert client.get(reverse("release_detail", args=[dataset.slug, "v1-r1"])).status_code == 404
    with Worker(servers) as worker:
        # The heart stopped long ago.
        Job.objects.filter(kind="release_build").update(heartbeat_at=F("heartbeat_at") - timedelta(minutes=5))
        assert jobs_resume() == 1
        worker.wait_for(lambda: Release.objects.exclude(state="building").exists(), seconds=60)
    release.refresh_from_db()
    assert (release.state, release.rows_removed) == ("verified", 4), release.failure
    assert Job.objects.get(kind="release_build").attempt == 2
    assert verify_release(release_folder(release), minisign_pub=keys.minisign_pub).root == release.root
    assert not partial.exists()
