"""Make the keys that releases are signed with, once, where the settings look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from expunge.errors import UsageError
from expunge.signing import Signer, generate_keys

if TYPE_CHECKING:
    from pathlib import Path


class Command(BaseCommand):
    help = (
        "Make a minisign and an OpenSSF Model Signing key pair where EXPUNGE_MINISIGN_KEY and EXPUNGE_OMS_KEY say "
        "(by default under VAR_DIR/keys). Keys that exist are shown and left alone."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        minisign, oms = settings.MINISIGN_KEY, settings.OMS_KEY
        if not minisign.exists() and not oms.exists():
            self._make(minisign, oms)
        elif not (minisign.exists() and oms.exists()):
            present, absent = (minisign, oms) if minisign.exists() else (oms, minisign)
            self.stderr.write(f"{absent} is not there: releases are signed with {present} only.")
        signer = Signer.from_files(*(path if path.exists() else None for path in (minisign, oms)))
        if signer.minisign_public:
            self.stdout.write(f"minisign: {minisign}\n{signer.minisign_public}\n")
        if signer.oms_public:
            self.stdout.write(f"OpenSSF Model Signing (P-256): {oms}\n{signer.oms_public}")

    def _make(self, minisign: Path, oms: Path) -> None:
        if minisign.parent != oms.parent or (minisign.name, oms.name) != ("minisign.key", "oms.key"):
            raise CommandError(
                f"New keys are made side by side as minisign.key and oms.key, and the settings name {minisign} "
                f"and {oms}. Name such files in EXPUNGE_MINISIGN_KEY and EXPUNGE_OMS_KEY, or put your own keys there."
            )
        try:
            generate_keys(minisign.parent)
        except UsageError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("New keys. Keep the secret ones safe: whoever has them can sign as you.\n")
