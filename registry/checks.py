"""System checks: what is wrong with the settings, said before anything is served. Django runs them at every start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator


@register
def check_settings(**_options: Any) -> list[Error]:
    """All findings, in the order of their ids."""
    found = [*_folders(), *_outgoing()]
    if settings.MODE == "production":
        found += _production()
    return sorted(found, key=lambda error: error.id or "")


def _production() -> Iterator[Error]:
    try:
        _ = settings.SECRET_KEY
    except ImproperlyConfigured:  # Django refuses to hand out an empty one
        yield Error(
            "SECRET_KEY is not set.", hint="Set it to 50 random characters or more.", id="registry.E001"
        )
    if not settings.DATABASE_URL:
        yield Error(
            "DATABASE_URL is not set.", hint="postgresql://user:password@host/name", id="registry.E002"
        )
    if not settings.BROKER_URL:
        yield Error("BROKER_URL is not set.", hint="redis://host:6379/0", id="registry.E003")
    elif not settings.BROKER_URL.startswith(("redis://", "rediss://", "redis+socket://")):
        yield Error(
            "BROKER_URL names neither Redis nor Valkey.",
            hint="redis://host:6379/0, with TLS rediss://…, both for Valkey too.",
            id="registry.E003",
        )
    if settings.DEBUG:
        yield Error(
            "DEBUG is on in production.", hint="Unset it: error pages would show values.", id="registry.E004"
        )
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS must name this site.", hint="ALLOWED_HOSTS=example.org", id="registry.E005"
        )
    if settings.BEHIND_TLS and not settings.SITE_URL.startswith("https://"):
        yield Error(
            f"SITE_URL is {settings.SITE_URL}, yet the site is behind TLS.",
            hint="Set SITE_URL to https://…, or BEHIND_TLS=false where there is no TLS at all.",
            id="registry.E006",
        )


def _folders() -> Iterator[Error]:
    store: Path = settings.STORE
    if not _can_be_written(store):
        yield Error(f"STORE cannot be written: {store}", hint="Give it to this user.", id="registry.E007")
    for root in settings.IMPORT_ROOTS:
        if not root.is_dir():
            yield Error(
                f"IMPORT_ROOTS names a folder that is not there: {root}",
                hint="Make it, or take it out of IMPORT_ROOTS (folders separated by commas).",
                id="registry.E008",
            )
        elif store.is_relative_to(root) or root.is_relative_to(store):
            yield Error(
                f"IMPORT_ROOTS and STORE lie inside each other: {root}, {store}",
                hint="Imports are somebody else's files, the store is ours; keep them apart.",
                id="registry.E009",
            )


def _outgoing() -> Iterator[Error]:
    """Whom the server may talk to; nothing set is the common case, and loads nothing."""
    registries: str = settings.RDAP_BOOTSTRAP
    if registries and not registries.startswith(("https://", "http://")) and not Path(registries).is_file():
        yield Error(
            f"RDAP_BOOTSTRAP is neither a web address nor a file that is there: {registries}",
            hint="https://data.iana.org/rdap/dns.json, a copy of it, or nothing: then no registry is asked.",
            id="registry.E012",
        )
    if not (settings.LINKS_TEST_TARGETS or settings.NAME_SERVERS or settings.NAME_SERVERS_SECOND):
        return
    if settings.LINKS_TEST_TARGETS and settings.MODE == "production":
        yield Error(
            "LINKS_TEST_TARGETS opens this machine's own addresses to links.",
            hint="Unset it; it is for EXPUNGE_MODE=demo and test.",
            id="registry.E010",
        )
        return
    # Loads libcurl, which most commands never use.
    from registry.lib.safe_http.policy import Policy, endpoint  # noqa: PLC0415

    try:
        Policy.from_settings()
        for text in settings.NAME_SERVERS_SECOND:
            endpoint(text)
    except ValueError as error:
        yield Error(
            f"LINKS_TEST_TARGETS, NAME_SERVERS or NAME_SERVERS_SECOND cannot be read: {error}",
            hint="LINKS_TEST_TARGETS=127.0.0.1:8099,[::1]:8099  NAME_SERVERS=192.0.2.53,192.0.2.54:5353",
            id="registry.E011",
        )


def _can_be_written(folder: Path) -> bool:
    """Tell whether `folder`, or the nearest folder above it that exists, takes new files."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
