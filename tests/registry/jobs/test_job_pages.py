from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.jobs.models import Job, JobState
from tests.factories import make_member, make_organisation

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.accounts.models import Organisation

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation("lab")


def make_job(organisation: Organisation, **fields: object) -> Job:
    return Job.objects.create(
        organisation=organisation,
        kind="version_ingest",
        subject_id=uuid.uuid4(),
        **{"title": "Reading a@1", **fields},
    )


def test_a_running_job_polls_by_script_and_reloads_without_one(
    client: Client, organisation: Organisation
) -> None:
    job = make_job(
        organisation, state=JobState.RUNNING, stage="Storing 3 shards", rows_done=1204, rows_total=5000,
        started_at=timezone.now(), stage_started_at=timezone.now(),
    )  # fmt: skip
    client.force_login(make_member(organisation))
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert f'hx-get="/jobs/{job.pk}/progress/"' in page
    assert 'http-equiv="refresh"' in page
    assert "1,204 of 5,000 rows" in page
    part = client.get(f"/jobs/{job.pk}/progress/")
    assert part.status_code == 200
    assert "Storing 3 shards" in part.content.decode()
    assert "<html" not in part.content.decode()


def test_polling_stops_when_the_job_ended(client: Client, organisation: Organisation) -> None:
    job = make_job(organisation, state=JobState.FAILED, error="0.csv: is empty.", finished_at=timezone.now())
    client.force_login(make_member(organisation))
    part = client.get(f"/jobs/{job.pk}/progress/")
    assert (part.status_code, part["HX-Refresh"]) == (286, "true")
    assert "hx-get" not in part.content.decode()
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "0.csv: is empty." in page
    assert "refresh" not in page


def test_the_list_filters_by_state(client: Client, organisation: Organisation) -> None:
    make_job(organisation, title="Reading a@1", state=JobState.SUCCEEDED)
    make_job(organisation, title="Reading b@1", state=JobState.FAILED)
    client.force_login(make_member(organisation))
    page = client.get("/jobs/?state=failed").content.decode()
    assert "b@1" in page
    assert "a@1" not in page
    assert "There is no such job" in client.get("/jobs/?state=queued").content.decode()
    assert client.get("/jobs/?state=nonsense").status_code == 200
    assert client.get("/jobs/?page=99").status_code == 200


def test_the_api_gives_the_same(client: Client, organisation: Organisation) -> None:
    job = make_job(organisation, state=JobState.SUCCEEDED)
    make_job(organisation)
    client.force_login(make_member(organisation))
    assert client.get("/api/v1/jobs/").json()["count"] == 2
    listed = client.get("/api/v1/jobs/?state=succeeded").json()["results"]
    assert [row["id"] for row in listed] == [str(job.pk)]
    assert client.get(f"/api/v1/jobs/{job.pk}/").json() == listed[0]
    assert listed[0]["organisation"] == "lab"
    assert client.get("/api/v1/jobs/?state=nonsense").status_code == 400


def test_a_stranger_sees_no_job(client: Client, organisation: Organisation) -> None:
    job = make_job(organisation, title="Reading secret@1")
    urls = [f"/jobs/{job.pk}/", f"/jobs/{job.pk}/progress/", f"/api/v1/jobs/{job.pk}/"]
    assert [client.get(url).status_code for url in urls] == [302, 302, 401]
    assert client.get("/jobs/").status_code == 302
    client.force_login(make_member(make_organisation()))
    assert [client.get(url).status_code for url in urls] == [404, 404, 404]
    assert "secret" not in client.get("/jobs/").content.decode()
    assert client.get("/api/v1/jobs/").json()["count"] == 0


def test_the_list_takes_as_many_queries_for_many_jobs(
    client: Client, organisation: Organisation, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(make_member(organisation))
    for _ in range(30):
        make_job(organisation, created_by=make_member(organisation))
    with django_assert_max_num_queries(5):
        client.get("/jobs/")
    with django_assert_max_num_queries(5):
        client.get("/api/v1/jobs/")
