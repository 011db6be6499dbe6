"""The commands that the page of a release prints do what they say, copied as they are."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from registry.datasets.store import object_path

if TYPE_CHECKING:
    from registry.datasets.models import Version
    from takedowns.releases.models import Release
    from tests.processes import Gunicorn
    from tests.takedowns.released import Setting

NEEDED = ("curl", "wget", "minisign", "sha256sum")
MISSING = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"The page prints commands that are not on this machine (Debian: apt-get install {' '.join(MISSING)}).",
)

FETCH = "Fetch the diff, without the data"
APPLY = "Check your copy, then bring it to this release"
DOWNLOAD = "Or download all of it"
VERIFY = "Verify what you downloaded"


class Visitor:
    """Somebody with a shell in an empty folder who copies commands from pages of the site."""

    def __init__(self, site: str, home: Path) -> None:
        self.site = site
        self.home = home
        home.mkdir()

    def commands(self, path: str) -> dict[str, str]:
        """The commands of a page by their label, as a browser would copy them."""
        page = self.run(f"curl -fsS '{self.site}{path}'").stdout
        found = re.findall(r"<figcaption>(.*?)</figcaption><pre><code>(.*?)</code></pre>", page, re.DOTALL)
        return {unescape(label): unescape(command) for label, command in found}

    def run(self, command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it by sh in the folder; fails the test when it ends with another status."""
        # The command `expunge` lies beside the interpreter of these tests.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.home,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def hold(self, version: Version) -> None:
        """Have a copy of the version in the folder that the pages call PATH."""
        for row in version.version_shards.select_related("shard"):
            file = self.home / "PATH" / row.path
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(object_path(row.shard_id), file)

    def files(self, folder: str) -> dict[str, str]:
        """SHA-256 of every file below the folder, by its path."""
        top = self.home / folder
        return {
            file.relative_to(top).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in top.rglob("*")
            if file.is_file()
        }


@pytest.fixture
def visitor(setting: Setting, published: Release, live_site: Gunicorn, tmp_path: Path) -> Visitor:
    return Visitor(live_site.url, tmp_path / "home")


def page_of(release: Release, page: str = "release_detail", name: str = "") -> str:
    return reverse(page, args=[release.dataset.slug, name or release.version.name])


def of_version(version: Version) -> dict[str, str]:
    return dict(version.version_shards.values_list("path", "shard_id"))


def small_files(release: Release) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in release.files}


def test_the_small_files_are_fetched_and_a_copy_is_checked_and_cleaned_with_them(
    visitor: Visitor, published: Release
) -> None:
    visitor.hold(published.base)
    commands = visitor.commands(page_of(published))
    folder = f"{published.dataset.slug}-{published.version.name}"
    visitor.run(commands[FETCH])
    assert visitor.files(folder) == small_files(published)
    check, apply = commands[APPLY].split("\n")
    affected = visitor.run(check, status=1)
    assert "2" in affected.stdout
    visitor.run(apply)
    assert visitor.files("CLEANED") == of_version(published.version)
    visitor.run(check.replace(" PATH ", " CLEANED "))
    # Copied at once, the second line runs whatever the first one says.
    shutil.rmtree(visitor.home / "CLEANED")
    visitor.run(commands[APPLY])
    assert visitor.files("CLEANED") == of_version(published.version)


def test_all_of_it_is_downloaded_and_verified(visitor: Visitor, published: Release) -> None:
    commands = visitor.commands(page_of(published))
    folder = f"{published.dataset.slug}-{published.version.name}"
    visitor.run(commands[DOWNLOAD])
    shards = {f"data/{path}": digest for path, digest in of_version(published.version).items()}
    assert visitor.files(folder) == small_files(published) | shards
    verified = visitor.run(commands[VERIFY])
    assert "data/a/0.parquet: OK" in verified.stdout
    assert "Signature and comment signature verified" in verified.stdout
    # A download that was interrupted goes on where it was.
    visitor.run(commands[DOWNLOAD])
    assert visitor.files(folder) == small_files(published) | shards


def test_a_file_that_was_changed_is_found(visitor: Visitor, published: Release) -> None:
    commands = visitor.commands(page_of(published))
    visitor.run(commands[DOWNLOAD])
    folder = visitor.home / f"{published.dataset.slug}-{published.version.name}"
    shard = folder / "data" / "a" / "1.csv"
    shard.write_bytes(shard.read_bytes().replace(b"other", b"0ther"))
    verify, rest = commands[VERIFY].split("\n")
    assert "data/a/1.csv" in "".join(visitor.run(verify, status=1).stderr.split())
    visitor.run(rest, status=1)


def test_the_page_of_the_affected_version_prints_the_same(visitor: Visitor, published: Release) -> None:
    visitor.hold(published.base)
    commands = visitor.commands(page_of(published, "version_detail", published.base.name))
    visitor.run(commands[FETCH])
    visitor.run(commands["Is your copy affected?"], status=1)
    visitor.run(commands["Bring your copy to the release"])
    assert visitor.files("CLEANED") == of_version(published.version)


def test_every_command_of_the_page_is_tried_here(visitor: Visitor, published: Release) -> None:
    assert set(visitor.commands(page_of(published))) == {FETCH, APPLY, DOWNLOAD, VERIFY}
