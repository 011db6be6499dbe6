from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from registry.accounts.models import Role
from takedowns.releases.downloads import Unsatisfiable, range_of
from takedowns.releases.files import release_files, release_folder
from tests.factories import make_member, make_organisation

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting


def address(release: Release, path: str = "SHA256SUMS") -> str:
    return reverse("release_file", args=[release.dataset.slug, release.version.name, path])


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_anybody_downloads_every_file_of_a_published_release(published: Release, client: Client) -> None:
    for file in release_files(published):
        response = client.get(address(published, file.path))
        content = body(response)
        assert response.status_code == 200
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert response["ETag"] == f'"{file.sha256}"'
        assert response["Content-Length"] == str(len(content))
        assert response["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response["Content-Disposition"].startswith("attachment")


def test_a_shard_is_resumed_from_where_it_stopped(published: Release, client: Client) -> None:
    whole = body(client.get(address(published, "data/a/0.parquet")))
    response = client.get(address(published, "data/a/0.parquet"), headers={"Range": "bytes=100-"})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert response["Content-Length"] == str(len(whole) - 100)
    assert whole[:100] + body(response) == whole


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=5-9", (5, 9)),
        ("bytes=5-500", (5, 99)),
        ("bytes=-10", (90, 99)),
        ("bytes=-500", (0, 99)),
        ("bytes=99-", (99, 99)),
        ("", None),
        ("bytes=-", None),
        ("bytes=9-5", None),
        ("bytes=0-1,3-4", None),
        ("rows=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_understood_or_ignored(header: str, wanted: tuple[int, int] | None) -> None:
    assert range_of(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_outside_the_file_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        range_of(header, 100)


def test_it_answers_416_with_the_size(published: Release, client: Client) -> None:
    response = client.get(address(published), headers={"Range": "bytes=99999999-"})
    size = next(file.bytes for file in release_files(published) if file.path == "SHA256SUMS")
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{size}")


def test_a_range_of_another_file_gets_the_whole(published: Release, client: Client) -> None:
    headers = {"Range": "bytes=10-", "If-Range": '"somethingelse"'}
    response = client.get(address(published), headers=headers)
    assert (response.status_code, len(body(response))) == (200, int(response["Content-Length"]))


def test_what_a_client_has_is_not_sent_again(published: Release, client: Client) -> None:
    response = client.get(address(published))
    etag = response["ETag"]
    body(response)
    assert client.get(address(published), headers={"If-None-Match": etag}).status_code == 304


def test_head_tells_the_size_without_the_bytes(published: Release, client: Client) -> None:
    response = client.head(address(published))
    assert int(response["Content-Length"]) > 0
    assert body(response) == b""


@pytest.mark.parametrize(
    "path",
    [
        "../../../sha256", "..", "data/../release.json", "data/a/../../release.json", "/etc/passwd", "data//etc/passwd",
        "data/a/2.csv", "release.json/", "diff", "data/", "%2e%2e/x", "SHA256SUMS\0",
    ],
)  # fmt: skip
def test_only_listed_paths_are_served(published: Release, client: Client, path: str) -> None:
    # Made by hand, because reverse() would quote what is tried here.
    url = address(published, "x").removesuffix("x") + path
    assert client.get(url).status_code == 404


def test_a_file_put_beside_the_release_is_not_served(published: Release, client: Client) -> None:
    (release_folder(published) / "extra.txt").write_text("not ours")
    assert client.get(address(published, "extra.txt")).status_code == 404


def test_a_stranger_gets_nothing_before_publication(verified: Release, client: Client) -> None:
    args = [verified.dataset.slug, verified.version.name]
    urls = [
        address(verified),
        reverse("release_urls", args=args),
        reverse("release_key", args=[*args, "minisign.pub"]),
    ]
    assert [client.get(url).status_code for url in urls] == [404, 404, 404]
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert [client.get(url).status_code for url in urls] == [404, 404, 404]


def test_a_member_downloads_a_verified_release_and_no_cache_keeps_it(
    setting: Setting, verified: Release, client: Client
) -> None:
    client.force_login(setting.team.staff)
    response = client.get(address(verified))
    assert (response.status_code, response["Cache-Control"]) == (200, "private, no-store")
    assert body(response)


def test_the_list_of_addresses_names_every_file(published: Release, client: Client) -> None:
    args = [published.dataset.slug, published.version.name]
    lines = client.get(reverse("release_urls", args=args)).content.decode().splitlines()
    assert lines == [f"http://testserver{address(published, file.path)}" for file in release_files(published)]


def test_the_public_keys_are_downloads(published: Release, client: Client) -> None:
    args = [published.dataset.slug, published.version.name]
    minisign = client.get(reverse("release_key", args=[*args, "minisign.pub"])).content.decode()
    assert minisign.splitlines()[1] == published.public_keys["minisign"]
    assert b"BEGIN PUBLIC KEY" in client.get(reverse("release_key", args=[*args, "oms.pub"])).content
    assert client.get(reverse("release_key", args=[*args, "minisign.key"])).status_code == 404


@pytest.mark.parametrize("header", ["bytes=0-{}", "bytes={}-", "bytes=-{}"])
def test_a_range_of_thousands_of_digits_is_ignored(published: Release, client: Client, header: str) -> None:
    whole = client.get(address(published), headers={"Range": header.format("9" * 5000)})
    assert whole.status_code == 200
    assert body(whole)
