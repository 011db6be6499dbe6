"""The keys that releases are signed with, and the public halves that a release is verified with.

Only workers read secret keys; pages show the public keys that each release keeps.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from expunge.signing import Signer
from registry.lib.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from takedowns.releases.models import Release

MINISIGN = "minisign"
OMS = "oms"
# The names under which the public keys are downloaded.
PUBLIC_FILES = {MINISIGN: "minisign.pub", OMS: "oms.pub"}


def signer_load() -> Signer:
    """Load the site's secret keys. Raises Refused when there is none: an unsigned release proves nothing."""
    minisign, oms = (path if path.is_file() else None for path in (settings.MINISIGN_KEY, settings.OMS_KEY))
    if minisign is None and oms is None:
        raise Refused(
            "There is no key to sign the release with, so it was not built. Make keys once with "
            "`manage.py make_signing_keys`, or name existing ones in EXPUNGE_MINISIGN_KEY and EXPUNGE_OMS_KEY."
        )
    return Signer.from_files(minisign, oms)


def public_keys(signer: Signer) -> dict[str, str]:
    """What `Release.public_keys` holds: the minisign key as one line of base64, the OMS key as PEM."""
    keys = {MINISIGN: signer.minisign_public, OMS: signer.oms_public}
    return {name: key for name, key in keys.items() if key}


def public_file(release: Release, name: str) -> str | None:
    """The content of a public key file (`minisign.pub`, `oms.pub`), or None when the release has no such key."""
    kind = next((kind for kind, file in PUBLIC_FILES.items() if file == name), "")
    key = release.public_keys.get(kind)
    if not key:
        return None
    return f"untrusted comment: minisign public key of {release}\n{key}\n" if kind == MINISIGN else key


@contextmanager
def public_files(release: Release) -> Iterator[Mapping[str, Path]]:
    """The release's public keys as files, by kind, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="expunge-keys-") as folder:
        files = {}
        for kind, name in PUBLIC_FILES.items():
            content = public_file(release, name)
            if content:
                files[kind] = Path(folder) / name
                files[kind].write_text(content)
        yield files
