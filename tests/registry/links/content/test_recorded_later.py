"""Panels that were drawn before recorded hashes were looked for get them when the reading of content is turned on."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.datasets.models import Dataset, VersionStatus
from registry.jobs.models import Job, JobState
from registry.jobs.services import job_run, jobs_resume
from registry.lib.errors import NotAllowed
from registry.links import services
from registry.links.content import recorded
from registry.links.content.selectors import content_consequence
from registry.links.content.states import ContentChecks
from registry.links.content.store import content_may_be_read, content_plans
from registry.links.models import Link, LinkPolicy, Panel, PanelRow
from registry.links.panel import panel_draw
from tests.factories import make_dataset, make_member, make_organisation, make_version, run_jobs

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from registry.jobs.handlers import JobRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def rows(count: int) -> list[dict[str, object]]:
    return [
        {"url": f"https://img.example.com/{number}.jpg", "sha": digest(number)} for number in range(count)
    ]


def drawn_before(maintainer: User, dataset: Dataset, *, sha: bool = True) -> Version:
    """A version whose panel was drawn when hashes were not looked for yet."""
    columns = {"url": "url"} | ({"sha256": "sha"} if sha else {})
    version = make_version(dataset, shards={"0.csv": rows(30), "1.parquet": rows(60)}, columns=columns)
    panel_draw(actor=maintainer, version=version, size=20)
    run_jobs()
    PanelRow.objects.update(hashes={})
    return version


def turn(maintainer: User, dataset: Dataset, checks: ContentChecks = ContentChecks.BYTES) -> None:
    links = content_consequence(dataset).links
    services.links_content(actor=maintainer, dataset=dataset, checks=checks, links=links)


def hashes() -> dict[str, dict[str, str]]:
    return dict(PanelRow.objects.values_list("link__url", "hashes"))


def expected(urls: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {url: {"content.sha256": digest(int(url.rpartition("/")[2].removesuffix(".jpg")))} for url in urls}


def test_turning_content_on_reads_them_without_drawing_anew(dataset: Dataset, maintainer: User) -> None:
    drawn_before(maintainer, dataset)
    before = list(PanelRow.objects.order_by("pk").values_list("pk", "link")), Panel.objects.get().drawn_at
    turn(maintainer, dataset)
    [job] = run_jobs()
    assert (job.kind, job.state) == (recorded.KIND, JobState.SUCCEEDED)
    assert len(hashes()) == 20
    assert hashes() == expected(hashes())
    assert (
        list(PanelRow.objects.order_by("pk").values_list("pk", "link")),
        Panel.objects.get().drawn_at,
    ) == before


def test_only_panels_that_lack_them_are_read(dataset: Dataset, maintainer: User) -> None:
    drawn_before(maintainer, dataset, sha=False)  # recorded none
    withdrawn = drawn_before(maintainer, dataset)
    type(withdrawn).objects.filter(pk=withdrawn.pk).update(status=VersionStatus.WITHDRAWN)
    other = make_dataset()
    drawn_before(make_member(other.organisation, Role.MAINTAINER), other)
    turn(maintainer, dataset)
    assert not recorded.recorded_jobs().exists()
    lacking = drawn_before(maintainer, dataset)
    turn(maintainer, dataset, ContentChecks.IMAGES)
    assert [job.subject_id for job in recorded.recorded_jobs()] == [lacking.pk]
    run_jobs()
    turn(maintainer, dataset)  # they are known by now
    assert not recorded.recorded_jobs().exists()


def test_turning_content_off_reads_nothing(dataset: Dataset, maintainer: User) -> None:
    drawn_before(maintainer, dataset)
    LinkPolicy.objects.update(content="bytes")
    turn(maintainer, dataset, ContentChecks.OFF)
    assert not recorded.recorded_jobs().exists()


def test_a_stranger_starts_nothing(dataset: Dataset, maintainer: User) -> None:
    drawn_before(maintainer, dataset)
    for who in (
        make_member(make_organisation(), Role.APPROVER),
        make_member(dataset.organisation, Role.STAFF),
    ):
        with pytest.raises(NotAllowed):
            turn(who, dataset)
    assert not recorded.recorded_jobs().exists()


def test_no_content_is_read_before_they_are_known(dataset: Dataset, maintainer: User) -> None:
    drawn_before(maintainer, dataset)
    turn(maintainer, dataset)
    link = Link.objects.first()
    assert link is not None
    assert (content_plans([link]), content_may_be_read(link.pk)) == ({}, False)
    run_jobs()
    [plan] = content_plans([link]).values()
    assert content_may_be_read(link.pk)
    assert {(kind, value.hex()) for kind, value in plan.recorded} == set(
        expected({link.url: {}})[link.url].items()
    )


class KilledError(BaseException):
    """The worker ends here: nobody writes what became of the job."""


def test_it_goes_on_after_a_kill_and_may_run_twice(
    dataset: Dataset, maintainer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_before(maintainer, dataset)
    turn(maintainer, dataset)
    job = recorded.recorded_jobs().get()

    def killed(*_given: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("registry.jobs.handlers.JobRun.confirm", killed)
        with pytest.raises(KilledError):
            job_run(job.pk)
    assert set(map(str, hashes().values())) == {"{}"}
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert jobs_resume() == 1
    job_run(job.pk)
    assert hashes() == expected(hashes())
    again = Job.objects.create(
        kind=recorded.KIND, subject_id=job.subject_id, organisation=dataset.organisation, state="queued"
    )
    job_run(again.pk)
    assert hashes() == expected(hashes())
    assert set(Job.objects.filter(kind=recorded.KIND).values_list("state", "attempt")) == {
        ("succeeded", 2),
        ("succeeded", 1),
    }


def test_a_panel_that_is_drawn_anew_meanwhile_keeps_what_that_brought(
    dataset: Dataset, maintainer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = drawn_before(maintainer, dataset)
    turn(maintainer, dataset)
    job, read = recorded.recorded_jobs().get(), recorded.recorded_hashes

    def drawn_meanwhile(*given: object) -> dict[bytes, dict[str, str]]:
        found = read(*given)  # type: ignore[arg-type]  # as the job gave them
        panel_draw(actor=maintainer, version=version, size=10)
        run_jobs()
        return found

    monkeypatch.setattr(recorded, "recorded_hashes", drawn_meanwhile)
    job_run(job.pk)
    assert len(hashes()) == 10
    assert hashes() == expected(hashes())


def test_how_far_it_is_shows_on_its_page_and_on_that_of_the_version(
    dataset: Dataset, maintainer: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = drawn_before(maintainer, dataset)
    turn(maintainer, dataset)
    job = recorded.recorded_jobs().get()
    client.force_login(maintainer)
    address = f"/datasets/{dataset.slug}/versions/{version.name}/links/"
    assert f"/jobs/{job.pk}/" in client.get(address).content.decode()
    told: list[tuple[str, int, int]] = []

    def progress(_run: JobRun, stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    monkeypatch.setattr("registry.jobs.handlers.JobRun.progress", progress)
    job_run(job.pk)
    assert told
    assert {stage for stage, _, _ in told} == {"Reading recorded hashes"}
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert f"/jobs/{job.pk}/" not in client.get(address).content.decode()
