"""The downstream user: an old copy, the command `expunge`, and what the site publishes. Nothing else."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from django.urls import reverse
from pyarrow import parquet

from takedowns.management.demo.steps import StepFailed, Steps, expect

if TYPE_CHECKING:
    from takedowns.management.demo.client import Client
    from takedowns.management.demo.generate import Data

COMMAND_SECONDS = 600
COMMAND = Path(sys.executable).parent / "expunge"
TRUSTED = ("--minisign-pub", "keys/minisign.pub", "--oms-pub", "keys/oms.pub")


class Downstream:
    """Their folder, with a copy of the base as it was before anything was removed."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        self.folder = folder
        self.steps = steps
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(parents=True)

    def download(self, site: Client, slug: str, version: str) -> None:
        """Fetch a release and the public keys of its signatures, as a stranger."""
        files = site.get(f"/datasets/{slug}/releases/{version}/files/?page_size=500")["results"]
        size = sum(
            site.download(
                reverse("release_file", args=[slug, version, file["path"]]),
                self.folder / "release" / file["path"],
            )
            for file in files
        )
        for name in ("minisign.pub", "oms.pub"):
            site.download(reverse("release_key", args=[slug, version, name]), self.folder / "keys" / name)
        self.steps.say(
            f"Downloaded {len(files)} files of {slug}@{version}, {size / 1e6:.1f} MB, and two public keys."
        )

    def bring_to_release(self, source: Path, data: Data) -> None:
        """Check the old copy, apply the release's diff, check again, and hold the result against what was planted."""
        shutil.copytree(source, self.folder / "old-copy")
        gone = int(data.gone.sum())
        affected = self._check("old-copy", expected_status=1)
        expect("rows of the old copy that are affected", affected, gone)
        self._run(0, "apply", "release", "old-copy", "--output", "new-copy", *TRUSTED)
        expect("rows of the new copy that are affected", self._check("new-copy", expected_status=0), 0)
        kept = data.table.filter(~data.gone)
        # Row by row and in order: nothing else went, nothing changed.
        expect(
            "the new copy equals the base without the planted rows",
            parquet.read_table(self.folder / "new-copy").equals(kept),
            True,
        )
        self.steps.say(
            f"The copy has {len(kept):,} rows: the old one's without {gone:,}, every other unchanged and in order."
        )

    def verify(self, root: str) -> None:
        """Verify the downloaded release with the published keys."""
        said = self._run(0, "verify", "release", *TRUSTED)
        expect("root of the release", said.strip(), root)

    def _check(self, copy: str, expected_status: int) -> int:
        """Rows of a copy that are affected, as `expunge check` says."""
        said = self._run(expected_status, "check", copy, "--release", "release", *TRUSTED, "--format", "json")
        checked = json.loads(said)
        self.steps.say(f"  {checked['verdict']}: {checked['affected']:,} of {checked['rows']:,} rows")
        return int(checked["affected"])

    def _run(self, expected_status: int, *arguments: str) -> str:
        """Run `expunge …` in the folder and return what it printed. Raises StepFailed at another exit status."""
        try:
            done = subprocess.run(  # noqa: S603  our own command, on names of our own
                [COMMAND, *arguments],
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except OSError as error:
            raise StepFailed(f"{COMMAND} does not run: {error.strerror}. `make demo` installs it.") from error
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"expunge {arguments[0]} has not ended after {COMMAND_SECONDS} s.") from error
        self.steps.say(f"$ expunge {shlex.join(arguments)}")
        for line in done.stderr.strip().splitlines():
            self.steps.say(f"  {line}")
        self.steps.say(f"  exit status {done.returncode}")
        if done.returncode != expected_status:
            raise StepFailed(f"expunge {arguments[0]} should have ended with status {expected_status}.")
        return done.stdout
