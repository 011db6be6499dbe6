from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from registry.accounts.models import Role
from registry.accounts.services import api_key_create
from registry.datasets.models import Dataset, LineageEdge, Version, VersionStatus
from tests.factories import (
    make_dataset,
    make_edge,
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

    from pytest_django import DjangoAssertNumQueries, Settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset(make_organisation("lab"), slug="links")


@pytest.fixture
def program(dataset: Dataset) -> Client:
    """A program with the key of a maintainer."""
    _, secret = api_key_create(actor=make_member(dataset.organisation, Role.MAINTAINER), name="program")
    return Client(headers={"Authorization": f"Bearer {secret}"})


def post(client: Client, url: str, body: Any) -> Any:
    return client.post(f"/api/v1/{url}", body, content_type="application/json")


VERSION = {"name": "1", "dated": "2025-01-01", "source": "a"}


def test_a_dataset_is_created(program: Client) -> None:
    body = {"organisation": "lab", "slug": "more", "name": "More", "licence": "CC0"}
    answer = post(program, "datasets/", body)
    assert answer.status_code == 201
    assert answer.json()["newest"] is None
    assert program.get("/api/v1/datasets/more/").json() == answer.json()
    assert post(program, "datasets/", body).status_code == 409
    assert post(program, "datasets/", {**body, "organisation": "other"}).status_code == 400


def test_a_version_is_registered_from_a_path(program: Client, imports: Path) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    answer = post(program, "datasets/links/versions/", {**VERSION, "columns": {"md5": ""}})
    assert answer.status_code == 202
    assert answer.json()["version"]["status"] == "draft"
    job = program.get(f"/api/v1/jobs/{answer.json()['job']}/").json()
    assert (job["kind"], job["state"]) == ("version_ingest", "queued")
    run_jobs()
    version = program.get("/api/v1/datasets/links/versions/1/").json()
    assert (version["status"], version["rows"], version["shard_count"]) == ("active", 10, 1)
    assert version["columns"] == {"url": "url", "text": "text", "md5": ""}
    assert "source" not in version  # where the operator keeps his files is not public


def test_a_version_is_registered_from_files(program: Client) -> None:
    files = [SimpleUploadedFile(f"{n}.csv", f"href\nhttps://a.example/{n}\n".encode()) for n in range(2)]
    body = {"name": "1", "dated": "2025-01-01", "files": files, "columns.url": "href"}
    answer = program.post("/api/v1/datasets/links/versions/", body)
    assert answer.status_code == 202
    run_jobs()
    assert (Version.objects.get().status, Version.objects.get().rows) == ("active", 2)


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ([], 400, "Invalid data"),
        ("text", 400, "JSON parse error"),
        ({}, 400, "name"),
        ({**VERSION, "dated": "soon"}, 400, "dated"),
        ({**VERSION, "columns": ["url"]}, 400, "columns"),
        ({**VERSION, "columns": {"url": {"a": 1}}}, 400, "columns"),
        ({**VERSION, "columns": {"pdq": "x"}}, 409, "pdq"),
        ({**VERSION, "files": "x"}, 400, "files"),
        ({**VERSION, "final_status": "withdrawn"}, 400, "final_status"),
        ({**VERSION, "source": ["a"]}, 400, "source"),
        ({**VERSION, "source": "a\0b"}, 400, "source"),
        ({**VERSION, "source": "../a"}, 409, "import folder"),
        ({**VERSION, "source": ""}, 400, "source"),
        ({"name": "1", "dated": "2025-01-01"}, 409, "Say where the files are"),
    ],
)
def test_a_body_of_the_wrong_shape_is_told_what_is_wrong(
    program: Client, imports: Path, body: Any, status: int, part: str
) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    answer = post(program, "datasets/links/versions/", body)
    assert (answer.status_code, part in answer.content.decode()) == (status, True), answer.content
    assert not Version.objects.exists()


def test_what_is_no_json_is_told_so(program: Client) -> None:
    answer = program.post("/api/v1/datasets/links/versions/", b"{", content_type="application/json")
    assert answer.status_code == 400
    answer = program.post("/api/v1/datasets/links/versions/", b"<a/>", content_type="text/xml")
    assert answer.status_code == 415


def test_an_upload_over_the_limit_is_refused(program: Client, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 100
    body = {"name": "1", "dated": "2025-01-01", "files": [SimpleUploadedFile("0.csv", b"x" * 200)]}
    answer = program.post("/api/v1/datasets/links/versions/", body)
    assert answer.status_code == 409
    assert "limit of 100 bytes" in answer.json()["detail"]
    assert not Version.objects.exists()


def test_a_draft_is_ingested_again(program: Client, imports: Path) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    post(program, "datasets/links/versions/", {**VERSION, "columns": {"url": "href"}})
    run_jobs()
    assert "href" in program.get("/api/v1/datasets/links/versions/1/").json()["status_reason"]
    assert post(program, "datasets/links/versions/1/ingest/", {"columns": {}}).status_code == 202
    run_jobs()
    assert program.get("/api/v1/datasets/links/versions/1/").json()["status"] == "active"
    assert post(program, "datasets/links/versions/1/ingest/", {}).status_code == 409


def test_an_edge_is_recorded_and_listed(program: Client, dataset: Dataset) -> None:
    make_version(make_dataset(slug="whole"), "1", shards={})
    version = make_version(dataset, "1", shards={})
    body = {"parent": "whole@1", "kind": "subset_of", "child": "links@1"}
    assert post(program, "lineage/", body).status_code == 201
    assert post(program, "lineage/", body).status_code == 409
    assert post(program, "lineage/", {**body, "parent": "whole"}).status_code == 400
    assert post(program, "lineage/", {**body, "kind": "cousin"}).status_code == 400
    for query in ("", "?dataset=whole", f"?version={version.pk}", "?kind=subset_of"):
        edge = Client().get(f"/api/v1/lineage/{query}").json()["results"][0]
        assert (edge["parent"]["dataset"], edge["child"]["name"]) == ("whole", "1")
    assert Client().get("/api/v1/lineage/?dataset=other").json()["count"] == 0


def test_shards_are_listed_in_order_and_found_by_digest(dataset: Dataset, client: Client) -> None:
    version = make_version(dataset, "1", {"0.csv": make_rows(3), "1.parquet": make_rows(5)})
    listed = client.get("/api/v1/datasets/links/versions/1/shards/?page_size=1").json()
    assert (listed["count"], len(listed["results"])) == (2, 1)
    assert listed["results"][0] | {"bytes": 0, "digest": ""} == {
        "position": 0, "path": "0.csv", "digest": "", "bytes": 0, "rows": 3, "format": "csv",
    }  # fmt: skip
    digest = listed["results"][0]["digest"]
    found = client.get(f"/api/v1/shards/{digest.upper()}/").json()
    assert found["digest"] == digest
    assert found["columns"][0] == {"name": "url", "type": "string", "required": False}
    assert found["places"] == [{"dataset": "links", "version": "1", "status": "active", "path": "0.csv"}]
    assert client.get(f"/api/v1/shards/{'0' * 64}/").status_code == 404
    assert client.get("/api/v1/shards/x/").status_code == 404
    version.version_shards.all().delete()
    assert client.get(f"/api/v1/shards/{digest}/").status_code == 404


def test_lists_filter(dataset: Dataset, client: Client) -> None:
    make_version(dataset, "1", shards={}, dated="2024-01-01", status=VersionStatus.DEPRECATED)
    make_version(dataset, "2", shards={}, dated="2025-01-01")
    make_version(make_dataset(slug="other"), shards={})

    def names(query: str, key: str = "name") -> list[str]:
        return [row[key] for row in client.get(f"/api/v1/datasets/{query}").json()["results"]]

    assert names("links/versions/") == ["2", "1"]
    assert names("links/versions/?status=deprecated") == ["1"]
    assert names("links/versions/?dated_after=2024-06-01") == ["2"]
    assert names("?q=link", "slug") == ["links"]
    assert names("?organisation=lab", "slug") == ["links"]
    assert client.get("/api/v1/datasets/links/versions/?status=nonsense").status_code == 400
    assert client.get("/api/v1/datasets/?page=99").status_code == 404


def test_a_stranger_sees_no_draft_and_writes_nothing(dataset: Dataset, client: Client, imports: Path) -> None:
    draft = make_version(dataset, "1", status=VersionStatus.DRAFT)
    digest = draft.version_shards.get().shard_id
    urls = ["datasets/links/", "datasets/links/versions/", "datasets/links/versions/1/", "datasets/links/versions/1/shards/", f"shards/{digest}/"]  # fmt: skip
    for user in (None, make_user()):
        if user:
            client.force_login(user)
        assert [client.get(f"/api/v1/{url}").status_code for url in urls] == [404] * len(urls)
    assert client.get("/api/v1/datasets/").json()["count"] == 0
    assert post(client, "datasets/links/versions/", VERSION).status_code == 404
    assert post(client, "datasets/links/versions/1/ingest/", {}).status_code == 404
    assert post(Client(), "datasets/links/versions/", VERSION).status_code == 401

    public = make_version(dataset, "2", shards={})
    make_edge(public, draft)
    write_shard(imports / "a" / "0.csv", make_rows())
    assert client.get("/api/v1/lineage/").json()["count"] == 0
    assert client.get("/api/v1/datasets/links/versions/").json()["count"] == 1
    assert post(client, "datasets/links/versions/", {**VERSION, "name": "3"}).status_code == 403
    assert (
        post(client, "lineage/", {"parent": "links@2", "kind": "mirror_of", "artifact": "x"}).status_code
        == 403
    )
    assert (
        post(client, "lineage/", {"parent": "links@1", "kind": "mirror_of", "artifact": "x"}).status_code
        == 400
    )
    assert (Version.objects.count(), LineageEdge.objects.count()) == (2, 1)
    client.force_login(make_member(dataset.organisation))
    assert [client.get(f"/api/v1/{url}").status_code for url in urls] == [200] * len(urls)
    assert post(client, "datasets/links/versions/", {**VERSION, "name": "3"}).status_code == 403


def test_lists_take_as_many_queries_for_many_rows(
    dataset: Dataset, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    versions = [make_version(dataset, shards={"0.csv": make_rows(2)}) for _ in range(8)]
    for version in versions[1:]:
        make_edge(versions[0], version)
        make_version(make_dataset(), shards={})
    for url, queries in {"datasets/": 7, "datasets/links/versions/": 11, "lineage/": 2}.items():
        with django_assert_max_num_queries(queries):
            assert client.get(f"/api/v1/{url}").json()["count"] >= 7
    with django_assert_max_num_queries(3):
        client.get(f"/api/v1/datasets/links/versions/{versions[0].name}/shards/")
