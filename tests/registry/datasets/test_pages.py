from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from registry.accounts.models import Role, User
from registry.datasets.models import Dataset, LineageEdge, Version, VersionStatus
from registry.jobs.models import Job
from tests.factories import (
    make_dataset,
    make_member,
    make_organisation,
    make_rows,
    make_user,
    make_version,
    run_jobs,
    write_shard,
)

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django import Settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder", "imports")]

FORM = {"name": "1", "dated": "2025-01-01", "final_status": "active"}


@pytest.fixture
def maintainer(dataset: Dataset, client: Client) -> User:
    user = make_member(dataset.organisation, Role.MAINTAINER)
    client.force_login(user)
    return user


def csv(name: str = "0.csv", text: str = "url\nhttps://a.example/1\n") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def test_a_dataset_is_created_and_leads_to_its_first_version(client: Client) -> None:
    organisation = make_organisation("lab")
    client.force_login(make_member(organisation, Role.MAINTAINER))
    given = {"organisation": "lab", "name": "Links", "slug": "links"}
    assert client.get("/datasets/new/").status_code == 200
    assert client.post("/datasets/new/", given)["Location"] == "/datasets/links/versions/new/"
    again = client.post("/datasets/new/", given)
    assert (again.status_code, b"links is taken" in again.content) == (409, True)
    empty = client.post("/datasets/new/", {"organisation": "lab"})
    assert (empty.status_code, b"2 things to correct" in empty.content) == (400, True)


def test_the_list_of_datasets_leads_those_there_who_may_create_one(client: Client) -> None:
    organisation = make_organisation("lab")
    assert b"/datasets/new/" not in client.get("/datasets/").content
    client.force_login(make_member(organisation, Role.STAFF))
    assert b"/datasets/new/" not in client.get("/datasets/").content
    client.force_login(make_member(organisation, Role.MAINTAINER))
    assert b'href="/datasets/new/"' in client.get("/datasets/").content


def test_a_dataset_is_created_only_in_an_organisation_of_ones_own(client: Client) -> None:
    make_organisation("other")
    client.force_login(make_member(make_organisation("lab"), Role.MAINTAINER))
    answer = client.post("/datasets/new/", {"organisation": "other", "name": "x", "slug": "x"})
    assert answer.status_code == 400
    assert not Dataset.objects.exists()


def test_a_version_is_registered_from_an_import_folder(
    client: Client, maintainer: User, imports: Path
) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    assert str(imports) in client.get("/datasets/links/versions/new/").content.decode()
    answer = client.post("/datasets/links/versions/new/", {**FORM, "source": "a", "column_md5": "-"})
    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}/"
    run_jobs()
    assert Version.objects.get().columns == {"url": "url", "text": "text", "md5": ""}
    assert b"Done" in client.get(f"/jobs/{job.pk}/").content


def test_a_version_is_registered_from_several_uploaded_files(client: Client, maintainer: User) -> None:
    files = [csv("0.csv"), csv("1.csv")]
    assert client.post("/datasets/links/versions/new/", {**FORM, "upload": files}).status_code == 302
    run_jobs()
    version = Version.objects.get()
    assert (version.status, version.rows, version.version_shards.count()) == ("active", 2, 2)


def test_the_path_in_an_uploaded_files_name_is_dropped(client: Client, maintainer: User) -> None:
    sent = csv()
    sent._name = "../../0.csv"  # type: ignore[attr-defined]  # as a hand-made request would have it; Django keeps the last part alone
    client.post("/datasets/links/versions/new/", {**FORM, "upload": [sent]})
    run_jobs()
    assert Version.objects.get().version_shards.get().path == "0.csv"


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        ({"source": "../a"}, 409, "not inside an import folder"),
        ({"source": "nowhere"}, 409, "does not exist"),
        ({}, 409, "Say where the files are"),
        ({"name": "", "source": "a"}, 400, "required"),
        ({"dated": "yesterday", "source": "a"}, 400, "valid date"),
        ({"final_status": "withdrawn", "source": "a"}, 400, "valid choice"),
        ({"source": "a", "name": "a/b"}, 409, "version&#x27;s name"),
    ],
)
def test_bad_input_is_said_on_the_page_and_keeps_nothing(
    client: Client, maintainer: User, given: dict[str, Any], status: int, part: str
) -> None:
    answer = client.post("/datasets/links/versions/new/", {**FORM, **given})
    assert answer.status_code == status
    assert part in answer.content.decode()
    assert not Version.objects.exists()


def test_an_upload_over_the_limit_is_cut_off_and_said_so(
    client: Client, maintainer: User, settings: Settings, store_folder: Path
) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    files = [csv("0.csv"), csv("1.csv", "url\n" + "https://a.example/1\n" * 200)]
    answer = client.post("/datasets/links/versions/new/", {**FORM, "upload": files})
    assert answer.status_code == 409
    assert "limit of 1,000 bytes" in answer.content.decode()
    assert not Version.objects.exists()
    assert not list(store_folder.glob("uploads/*"))


def test_a_failed_draft_is_read_again_with_other_columns(
    client: Client, maintainer: User, imports: Path
) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    client.post("/datasets/links/versions/new/", {**FORM, "source": "a", "column_url": "href"})
    run_jobs()
    page = client.get("/datasets/links/versions/1/retry/").content.decode()
    assert "no column &#x27;href&#x27;" in page
    assert 'value="href"' in page
    assert client.post("/datasets/links/versions/1/retry/", {"source": "nowhere"}).status_code == 409
    assert client.post("/datasets/links/versions/1/retry/", {"source": "a"}).status_code == 302
    run_jobs()
    assert Version.objects.get().status == "active"
    assert client.get("/datasets/links/versions/1/retry/").status_code == 404


def test_an_edge_is_recorded(client: Client, maintainer: User, dataset: Dataset) -> None:
    make_version(make_dataset(slug="whole"), "1", shards={})
    make_version(dataset, "1", shards={})
    page = client.get("/datasets/links/lineage/new/?child=links@1").content.decode()
    assert 'value="links@1"' in page
    given = {"parent": "whole@1", "kind": "subset_of", "child": "links@1"}
    assert client.post("/datasets/links/lineage/new/", given)["Location"] == "/datasets/links/versions/1/"
    assert LineageEdge.objects.get().kind == "subset_of"
    assert client.post("/datasets/links/lineage/new/", given).status_code == 409
    wrong = client.post("/datasets/links/lineage/new/", {**given, "parent": "whole@9"})
    assert (wrong.status_code, b"no such version" in wrong.content) == (400, True)


def test_no_edge_reaches_a_draft_that_one_may_not_see(
    client: Client, maintainer: User, dataset: Dataset
) -> None:
    make_version(make_dataset(slug="whole"), "1", shards={}, status=VersionStatus.DRAFT)
    make_version(dataset, "1", shards={})
    given = {"parent": "whole@1", "kind": "subset_of", "child": "links@1"}
    assert client.post("/datasets/links/lineage/new/", given).status_code == 400


PAGES = ["/datasets/links/versions/new/", "/datasets/links/versions/1/retry/", "/datasets/links/lineage/new/"]


@pytest.mark.parametrize("page", PAGES)
def test_strangers_learn_nothing_and_staff_may_not_write(client: Client, dataset: Dataset, page: str) -> None:
    make_version(dataset, "1", shards={}, status=VersionStatus.DRAFT)
    assert client.get(page).status_code == 302
    client.force_login(make_user())
    assert [client.get(page).status_code, client.post(page, FORM).status_code] == [404, 404]
    make_version(dataset, "2", shards={})  # now the dataset is public
    assert [client.get(page).status_code, client.post(page, FORM).status_code] == [403, 403]
    client.force_login(make_member(dataset.organisation))
    assert [client.get(page).status_code, client.post(page, FORM).status_code] == [403, 403]
    assert Version.objects.count() == 2


def test_who_maintains_nothing_creates_no_dataset(client: Client) -> None:
    assert client.get("/datasets/new/").status_code == 302
    client.force_login(make_member(make_organisation()))
    assert client.get("/datasets/new/").status_code == 403


def test_a_form_from_another_site_is_refused(dataset: Dataset) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(make_member(dataset.organisation, Role.MAINTAINER))
    assert client.post("/datasets/links/versions/new/", FORM).status_code == 403
