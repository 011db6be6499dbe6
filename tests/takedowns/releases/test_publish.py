from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.hooks import hooks
from registry.jobs.models import Job
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases.models import Case
from takedowns.releases import services
from takedowns.releases.files import release_folder
from takedowns.releases.models import Release
from takedowns.releases.services.schedule import releases_due
from takedowns.removals.models import Removal
from tests.factories import make_member, make_organisation, make_rows, make_version, run_jobs
from tests.factories_takedowns import make_removal

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from tests.takedowns.released import Setting


def publish(setting: Setting, release: Release) -> Release:
    return services.release_publish(actor=setting.team.maintainer, release=release)


def change_one_byte(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_it_makes_the_version_active_and_the_base_deprecated(setting: Setting, published: Release) -> None:
    setting.base.refresh_from_db()
    published.version.refresh_from_db()
    assert (published.state, published.version.status) == ("published", "active")
    assert (setting.base.status, setting.base.status_reason) == (
        "deprecated",
        "A clean release was published: 2025-01-01-r1",
    )


def test_its_removals_become_advisories_and_their_cases_are_closed(
    setting: Setting, published: Release
) -> None:
    setting.removal.refresh_from_db()
    assert setting.removal.advisory_id is not None
    assert setting.removal.published_at is not None
    assert Case.objects.get(removal=setting.removal).state == "closed"


def test_it_writes_one_entry_of_its_own_into_the_log(setting: Setting, published: Release) -> None:
    entry = AuditEntry.objects.get(action="release_publish")
    assert (entry.actor, entry.data["rows_removed"]) == (setting.team.maintainer, 2)


def test_started_by_a_person_a_job_publishes_in_his_name(setting: Setting, verified: Release) -> None:
    services.release_publish_start(actor=setting.team.maintainer, release=verified, root=verified.root)
    run_jobs()
    verified.refresh_from_db()
    assert verified.state == "published"
    assert AuditEntry.objects.get(action="release_publish").actor == setting.team.maintainer


def test_a_publishing_job_run_again_after_a_kill_changes_nothing(setting: Setting, verified: Release) -> None:
    services.release_publish_start(actor=setting.team.maintainer, release=verified)
    run_jobs()
    verified.refresh_from_db()
    at = verified.published_at
    Job.objects.filter(kind="release_publish").update(state="queued", attempt=1)
    run_jobs()
    verified.refresh_from_db()
    assert verified.published_at == at
    assert Job.objects.get(kind="release_publish").state == "succeeded"


@pytest.mark.parametrize(
    "name", ["data/a/1.csv", "data/a/0.parquet", "release.json", "diff/removed.parquet", "SHA256SUMS"]
)
def test_one_changed_byte_of_a_file_fails_the_release_for_good(
    setting: Setting, verified: Release, name: str
) -> None:
    change_one_byte(release_folder(verified) / name, at=40)
    with pytest.raises(Refused, match="changed after it was built"):
        publish(setting, verified)
    verified.refresh_from_db()
    assert verified.state == "failed"
    with pytest.raises(Refused, match="Build it again"):
        publish(setting, verified)
    setting.removal.refresh_from_db()
    assert setting.removal.advisory_id is None


@pytest.mark.parametrize("name", ["SHA256SUMS.minisig", "dataset.sig"])
@pytest.mark.parametrize("at", [5, 120, -3])
def test_one_changed_byte_of_a_signature_fails_the_release(
    setting: Setting, verified: Release, name: str, at: int
) -> None:
    change_one_byte(release_folder(verified) / name, at)
    with pytest.raises(Refused, match="changed after it was built"):
        publish(setting, verified)


def test_a_lost_file_fails_the_release(setting: Setting, verified: Release) -> None:
    (release_folder(verified) / "diff/keys.parquet").unlink()
    with pytest.raises(Refused, match="changed after it was built"):
        publish(setting, verified)


def test_it_can_be_built_again_after_it_failed(setting: Setting, verified: Release) -> None:
    change_one_byte(release_folder(verified) / "release.json")
    with pytest.raises(Refused):
        publish(setting, verified)
    services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    verified.refresh_from_db()
    assert verified.state == "verified"
    assert publish(setting, verified).state == "published"


def test_it_is_refused_before_it_is_verified(setting: Setting) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    with pytest.raises(Refused, match="is building"):
        publish(setting, release)
    with pytest.raises(Refused, match="is building"):
        services.release_publish_start(actor=setting.team.maintainer, release=release)


def test_it_is_refused_after_a_failed_build(setting: Setting, settings: LazySettings, tmp_path: Path) -> None:
    settings.MINISIGN_KEY = settings.OMS_KEY = tmp_path / "absent"
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    with pytest.raises(Refused, match="failed and cannot be published"):
        publish(setting, release)


def test_it_is_refused_twice(setting: Setting, published: Release) -> None:
    with pytest.raises(Refused, match="is published"):
        publish(setting, published)


def test_it_is_refused_when_more_was_decided_since_it_was_built(setting: Setting, verified: Release) -> None:
    make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    with pytest.raises(Refused, match="removals in force changed"):
        publish(setting, verified)
    services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    verified.refresh_from_db()
    assert (publish(setting, verified).rows_removed, Removal.objects.published().count()) == (3, 2)


def test_it_is_refused_when_a_removal_was_withdrawn_since(setting: Setting, verified: Release) -> None:
    Removal.objects.update(withdrawn_at=setting.removal.created_at)
    with pytest.raises(Refused, match="removals in force changed"):
        publish(setting, verified)


def test_it_is_refused_when_it_was_built_anew_since_somebody_looked(
    setting: Setting, verified: Release
) -> None:
    with pytest.raises(Refused, match="built anew"):
        services.release_publish_start(actor=setting.team.maintainer, release=verified, root="0" * 64)


def test_it_is_refused_when_a_hook_objects(
    setting: Setting, verified: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "version_objections", [lambda _version: ["It brings back 1 row."]])
    services.release_publish_start(actor=setting.team.maintainer, release=verified)
    run_jobs()
    verified.refresh_from_db()
    assert verified.state == "verified"
    assert "It brings back 1 row." in verified.failure


def test_it_refuses_staff_and_strangers(setting: Setting, verified: Release) -> None:
    for user in (setting.team.staff, make_member(make_organisation(), Role.APPROVER)):
        with pytest.raises(NotAllowed):
            services.release_publish(actor=user, release=verified)
        with pytest.raises(NotAllowed):
            services.release_publish_start(actor=user, release=verified)
    verified.refresh_from_db()
    assert verified.state == "verified"


def test_the_database_refuses_to_publish_what_was_not_verified(setting: Setting) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    with pytest.raises(IntegrityError, match="release_published_is_verified"):
        Release.objects.filter(pk=release.pk).update(state="published")


def test_a_second_release_is_cut_from_the_base_and_replaces_the_first(
    setting: Setting, published: Release
) -> None:
    make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    second = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    second.refresh_from_db()
    assert (second.version.name, second.serial, second.rows_removed) == ("2025-01-01-r2", 2, 3)
    publish(setting, second)
    published.version.refresh_from_db()
    assert (published.version.status, published.version.status_reason) == (
        "deprecated",
        "A clean release was published: 2025-01-01-r2",
    )


def test_a_removal_with_no_row_in_the_base_is_not_published_by_its_release(setting: Setting) -> None:
    other = make_version(setting.dataset, "2024-01-01", {"0.csv": make_rows(host="old.example.com")})
    waiting = make_removal(setting.team, setting.dataset, ["https://old.example.com/1.jpg"])
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    publish(setting, release)
    waiting.refresh_from_db()
    assert waiting.advisory_id is None
    assert other.releases.count() == 0


def test_the_schedule_builds_what_is_due_and_publishes_it_in_the_next_round(setting: Setting) -> None:
    building, publishing = releases_due()
    assert ([release.base for release in building], publishing) == ([setting.base], [])
    run_jobs()
    building, publishing = releases_due()
    assert (building, len(publishing)) == ([], 1)
    run_jobs()
    assert Release.objects.get().state == "published"
    assert releases_due() == ([], [])
    assert AuditEntry.objects.get(action="release_publish").actor is None


def test_the_schedule_builds_again_when_more_was_decided_meanwhile(setting: Setting) -> None:
    releases_due()
    run_jobs()
    make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    building, publishing = releases_due()
    assert (len(building), publishing) == (1, [])
    run_jobs()
    releases_due()
    run_jobs()
    release = Release.objects.get()
    assert (release.state, release.rows_removed) == ("published", 3)


def test_the_schedule_leaves_what_a_person_builds_to_that_person(setting: Setting, verified: Release) -> None:
    assert releases_due() == ([], [])
    verified.refresh_from_db()
    assert verified.state == "verified"
