from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from registry.datasets.models import Version
from registry.datasets.sources import source_resolve, uploads_save, version_files
from registry.datasets.store import uploads_folder
from registry.lib.errors import Refused
from tests.factories import make_rows, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import Settings


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the import root, with a shard in it."""
    write_shard(tmp_path / "outside" / "0.csv", make_rows())
    return tmp_path / "outside"


def test_a_path_is_found_under_an_import_root_or_given_whole(imports: Path) -> None:
    shard = write_shard(imports / "a" / "0.csv", make_rows())
    for source in ("a", str(imports / "a")):
        assert source_resolve(source) == imports / "a"
    assert [file.path for file in version_files(Version(source="a/*.csv"))] == [shard]


@pytest.mark.parametrize(
    "source",
    [
        "../outside",
        "a/../../outside",
        "/etc",
        "/etc/passwd",
        "",
        "  ",
        "a\0b",
        "{outside}",
        "{outside}/*.csv",
    ],
)
def test_no_path_leads_out_of_the_import_roots(imports: Path, outside: Path, source: str) -> None:
    (imports / "a").mkdir()
    with pytest.raises(Refused, match="not inside an import folder"):
        source_resolve(source.replace("{outside}", str(outside)))


def test_a_folder_that_is_a_link_out_is_refused(imports: Path, outside: Path) -> None:
    (imports / "link").symlink_to(outside)
    for source in ("link", "link/0.csv", "link/*.csv"):
        with pytest.raises(Refused, match="not inside an import folder"):
            source_resolve(source)


def test_a_link_out_in_a_folder_is_refused_before_it_is_read(imports: Path, outside: Path) -> None:
    write_shard(imports / "a" / "0.csv", make_rows())
    (imports / "a" / "1.csv").symlink_to(outside / "0.csv")
    for source in ("a", "a/*.csv", "*/1.csv"):
        with pytest.raises(Refused, match=r"1\.csv is a link that leads out"):
            version_files(Version(source=source))


def test_a_link_inside_a_root_is_fine(imports: Path) -> None:
    shard = write_shard(imports / "a" / "0.csv", make_rows())
    (imports / "b.csv").symlink_to(shard)
    assert len(version_files(Version(source="b.csv"))) == 1


def test_a_missing_path_is_named_and_paths_outside_tell_nothing(imports: Path, outside: Path) -> None:
    with pytest.raises(Refused, match="nowhere does not exist under"):
        source_resolve("nowhere")
    with pytest.raises(Refused) as there:
        source_resolve(str(outside))
    with pytest.raises(Refused) as absent:
        source_resolve(str(outside / "nothing"))
    assert str(there.value) == str(absent.value)


def test_without_import_roots_nothing_is_read(settings: Settings) -> None:
    settings.IMPORT_ROOTS = []
    with pytest.raises(Refused, match="IMPORT_ROOTS"):
        source_resolve("/etc")


class Sent(SimpleUploadedFile):
    """A file whose name came past Django's own cleaning."""

    def __init__(self, name: str, data: bytes = b"url\n") -> None:
        super().__init__("0.csv", data)
        self._name = name


def test_uploads_wait_under_their_names(store_folder: Path) -> None:
    version = Version(source="")
    uploads_save(version.pk, [Sent("0.csv"), Sent("part/1.csv")])
    assert [file.name for file in version_files(version)] == ["0.csv", "part/1.csv"]


@pytest.mark.parametrize("name", ["../0.csv", "/etc/0.csv", "a/../../0.csv", "a\\0.csv", "a\n.csv", ""])
def test_no_name_leads_out_of_the_uploads(store_folder: Path, name: str) -> None:
    sent = Sent("0.csv")
    sent._name = name
    number = uuid.uuid4()
    with pytest.raises(Refused):
        uploads_save(number, [Sent("1.csv"), sent])
    assert not uploads_folder(number).exists()


@pytest.mark.parametrize(
    ("names", "part"),
    [(["run.exe"], "run.exe is no shard"), (["0.csv", "0.csv"], "Two of the files are named")],
)
def test_names_that_are_no_shards_or_twice_the_same_are_refused(
    store_folder: Path, names: list[str], part: str
) -> None:
    with pytest.raises(Refused, match=part):
        uploads_save(uuid.uuid4(), [Sent(name) for name in names])


def test_an_upload_over_the_limit_is_refused(store_folder: Path, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 100
    number = uuid.uuid4()
    with pytest.raises(Refused, match="limit of 100 bytes"):
        uploads_save(number, [Sent("0.csv", b"x" * 60), Sent("1.csv", b"x" * 60)])
    assert not uploads_folder(number).exists()


def test_uploads_that_are_gone_are_asked_for_again(store_folder: Path) -> None:
    with pytest.raises(Refused, match="Upload them again"):
        version_files(Version(source=""))


def test_a_path_that_the_system_cannot_look_up_is_not_there(imports: Path) -> None:
    with pytest.raises(Refused, match="does not exist"):
        source_resolve("a" * 400)
