"""Writing what exists: datasets, versions and lineage. The reading of a version's files is in ingest.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from expunge.errors import UsageError
from expunge.shards import parse_columns
from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets import store
from registry.datasets.models import Dataset, LineageEdge, LineageKind, Version, VersionStatus
from registry.datasets.selectors import lineage_descendants
from registry.datasets.sources import source_resolve, uploads_save
from registry.datasets.states import AFTER_INGEST, may_become
from registry.hooks import hooks
from registry.jobs.models import Job
from registry.jobs.services import ALIVE, job_start
from registry.lib.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from django.core.files.uploadedfile import UploadedFile

    from registry.accounts.models import Organisation, User

INGEST = "version_ingest"
VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# Any number: it only has to be the same in every process.
LINEAGE_LOCK = 7_430_211


def dataset_create(
    *, actor: User, organisation: Organisation, slug: str, name: str, description: str = "", licence: str = ""
) -> Dataset:
    """Create a dataset of an organisation (maintainer and up). Raises Refused when the slug is taken."""
    require_role(actor, organisation, Role.MAINTAINER)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", slug) or slug == "new":
        raise Refused("The short name takes a-z, 0-9, _ and -, at most 50, and cannot be 'new'.")
    if not name.strip():
        raise Refused("A dataset needs a name.")
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                organisation=organisation,
                slug=slug,
                name=name.strip(),
                description=description.strip(),
                licence=licence.strip(),
            )
            audit_append(actor=actor, action="dataset_create", subject=dataset, organisation=organisation)
    except IntegrityError as error:
        raise Refused(f"The short name {slug} is taken.") from error
    return dataset


def version_register(
    *,
    actor: User,
    dataset: Dataset,
    name: str,
    dated: date,
    source: str = "",
    uploads: Sequence[UploadedFile[Any]] = (),
    columns: Mapping[str, str] | None = None,
    final_status: str = VersionStatus.ACTIVE,
) -> Version:
    """Create a draft and start its ingest, which makes it `final_status` or leaves it a draft with the reason.

    The files come from `source` (a file, folder or glob under IMPORT_ROOTS) or from `uploads`, never both.
    `columns` maps a role (url, text, md5, sha1, sha256, id) to the column that carries it, or to "" for none;
    roles left out are found by their usual names. Maintainer and up. Raises Refused and keeps nothing.
    """
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    if not VERSION_NAME.fullmatch(name) or name == "new":
        raise Refused("A version's name takes letters, digits and . _ + -, at most 100, and cannot be 'new'.")
    if dated > timezone.now().date():
        raise Refused(
            "The version's date lies in the future. Give the day on which this state was published."
        )
    if final_status not in AFTER_INGEST:
        raise Refused(f"A version registered now can become {', '.join(AFTER_INGEST)}.")
    _check_origin(source, uploads)
    version = Version(
        dataset=dataset,
        name=name,
        dated=dated,
        source=source,
        columns=_known_columns(columns),
        final_status=final_status,
        created_by=actor,
    )
    try:
        with transaction.atomic():
            version.save()
            uploads_save(version.pk, uploads)
            _ingest_start(actor, version, "version_register")
    except IntegrityError as error:
        raise Refused(f"{dataset.slug} has a version {name} already.") from error
    except BaseException:
        store.discard_uploads(version.pk)
        raise
    return version


def version_ingest_retry(
    *,
    actor: User,
    version: Version,
    source: str | None = None,
    uploads: Sequence[UploadedFile[Any]] = (),
    columns: Mapping[str, str] | None = None,
) -> Version:
    """Ingest a draft again, from another place or with other columns where these are given.

    What was uploaded is not kept after a failure, so it is sent again. Maintainer and up. Raises Refused.
    """
    require_role(actor, version.dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        # Of two people who try at once, one waits here and then finds the other's job.
        version = (
            Version.objects.select_for_update(of=("self",))
            .select_related("dataset__organisation")
            .get(pk=version.pk)
        )
        if version.status != VersionStatus.DRAFT or version.base_id:
            raise Refused(f"{version} is {version.status}; only a draft that was imported is ingested again.")
        if Job.objects.filter(kind=INGEST, subject_id=version.pk, state__in=ALIVE).exists():
            raise Refused(f"{version} is being ingested now.")
        if not version.root or source is not None or uploads or columns is not None:
            # Read anew; else its shards are in the store, and only the objections are asked again.
            version.source, version.root = version.source if source is None else source, ""
            _check_origin(version.source, uploads)
        version.status_reason = ""
        if columns is not None:
            version.columns = _known_columns(columns)
        version.save()
        uploads_save(version.pk, uploads)
        _ingest_start(actor, version, "version_ingest_retry")
    return version


def version_status_change(*, actor: User | None, version: Version, status: str, reason: str) -> Version:
    """Move a version to another status, for a reason that its page shows. Maintainer and up.

    `actor` is None for scheduled work. A version becomes active only without objections, which takes as long as
    locating every removal in force in it. Raises Refused; the row changes once whoever else tries at once.
    """
    organisation = version.dataset.organisation
    if actor is not None:
        require_role(actor, organisation, Role.MAINTAINER)
    before = version.status
    if status not in VersionStatus.values or not may_become(before, status):
        raise Refused(f"{version} is {before} and cannot become {status}.")
    if status == VersionStatus.ACTIVE:
        objections = version_objections(version)
        if objections:
            raise Refused(f"{version} cannot become active. " + " ".join(objections))
    with transaction.atomic():
        moved = Version.objects.filter(pk=version.pk, status=before).update(
            status=status, status_reason=reason
        )
        if not moved:
            raise Refused(f"{version} was changed by somebody else meanwhile. Look again.")
        audit_append(
            actor=actor,
            action="version_status_change",
            subject=version,
            organisation=organisation,
            data={"from": before, "to": status},
        )
    version.status, version.status_reason = status, reason
    return version


def version_objections(version: Version) -> list[str]:
    """Why the version may not become active, one sentence each: what the packages above have against it."""
    return [reason for ask in hooks.version_objections for reason in ask(version)]


def lineage_create(
    *, actor: User, parent: Version, kind: str, child: Version | None = None, artifact: str = ""
) -> LineageEdge:
    """Record that `child` (a version) or `artifact` (anything else, by name) was made of `parent`.

    Whoever keeps the child says so (maintainer and up); for an artifact, whoever keeps the parent. Raises Refused
    for a second edge of the kind and for one that would close a circle.
    """
    if (child is None) == (not artifact.strip()):
        raise Refused("Name what was made: either a version or an artifact, not both.")
    if kind not in LineageKind.values:
        raise Refused(f"Choose how it was made: {', '.join(LineageKind.values)}.")
    organisation = (child or parent).dataset.organisation
    require_role(actor, organisation, Role.MAINTAINER)
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # One edge at a time, or two at once could close a circle that neither sees.
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LINEAGE_LOCK])
            if child and (child.pk == parent.pk or parent.pk in lineage_descendants([child.pk])):
                raise Refused(f"{parent} was itself made of {child}: lineage cannot run in a circle.")
            edge = LineageEdge.objects.create(
                parent=parent, child=child, artifact=artifact.strip(), kind=kind, created_by=actor
            )
            audit_append(
                actor=actor,
                action="lineage_create",
                subject=edge,
                organisation=organisation,
                data={"parent": str(parent.pk), "child": str(child.pk) if child else None, "kind": kind},
            )
    except IntegrityError as error:
        raise Refused("This edge is recorded already.") from error
    return edge


def _ingest_start(actor: User, version: Version, action: str) -> None:
    organisation = version.dataset.organisation
    job = job_start(
        actor=actor,
        kind=INGEST,
        subject_id=version.pk,
        organisation=organisation,
        title=f"Reading {version} into the store",
        page=reverse("version_detail", args=[version.dataset.slug, version.name]),
    )
    audit_append(
        actor=actor, action=action, subject=version, organisation=organisation, data={"job": str(job.pk)}
    )


def _check_origin(source: str, uploads: Sequence[UploadedFile[Any]]) -> None:
    """Refuse no place, two places, and a place that may not be read."""
    if bool(source) == bool(uploads):
        raise Refused("Say where the files are: a path under an import folder, or files to upload, not both.")
    if source:
        source_resolve(source)


def _known_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """The columns that were named, by role. Raises Refused for a role that does not exist."""
    try:
        return {role.value: column for role, column in parse_columns(columns or {}).items()}
    except UsageError as error:
        raise Refused(str(error)) from error
