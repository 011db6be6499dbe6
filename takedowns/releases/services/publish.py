"""Publish a release that was verified, unless anything changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from expunge.errors import VerificationFailed
from expunge.progress import Progress, quiet
from expunge.verify import verify_release
from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version, VersionStatus
from registry.datasets.services import version_objections
from registry.jobs.services import job_start
from registry.lib.errors import Refused
from takedowns.cases.models import Case
from takedowns.cases.services import case_executed
from takedowns.releases.files import list_small_files, release_folder
from takedowns.releases.models import Release, ReleaseState
from takedowns.releases.selectors import removals_of
from takedowns.releases.services.build import PUBLISH
from takedowns.releases.signatures import MINISIGN, OMS, public_files
from takedowns.removals.services import removal_publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job


def release_publish_start(*, actor: User | None, release: Release, root: str = "") -> Job:
    """Start the job that checks a verified release once more and publishes it.

    `actor` is a maintainer, or None when the schedule publishes; `root` is that of the release he looked at, if given.
    Raises NotAllowed, and Refused at once when the release cannot be published as it stands.
    """
    if actor is not None:
        require_role(actor, release.dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        release = _locked(release)
        _check_ready(release)
        if root and root != release.root:
            raise Refused(f"{release.version} was built anew since you looked at it. Look again.")
        job = job_start(
            actor=actor,
            kind=PUBLISH,
            subject_id=release.pk,
            organisation=release.dataset.organisation,
            title=f"Publishing the release {release.version}",
            page=reverse("release_detail", args=[release.dataset.slug, release.version.name]),
        )
        audit_append(
            actor=actor,
            action="release_publish_start",
            subject=release,
            organisation=release.dataset.organisation,
            data={"job": str(job.pk)},
        )
    return job


def release_publish_run(run: JobRun) -> None:
    """The job: publish in the name of whoever started it. Run again after a kill, a published release stays as it is."""
    release = Release.objects.get(pk=run.subject_id)
    if release.state != ReleaseState.PUBLISHED:
        release_publish(actor=run.job.created_by, release=release, progress=run.progress, confirm=run.confirm)


def release_publish_failed(job: Job, reason: str) -> None:
    """Say on the release why it was not published."""
    Release.objects.filter(pk=job.subject_id).exclude(state=ReleaseState.PUBLISHED).update(failure=reason)


def release_publish(
    *,
    actor: User | None,
    release: Release,
    progress: Progress = quiet,
    confirm: Callable[[], None] = lambda: None,
) -> Release:
    """Make a verified release public, its removals advisories, and its base deprecated.

    1. Every byte and signature is verified again: what changed on disk since the build fails the release for good.
    2. The removals in force are those it was built with, and none of their rows is in it.
    3. One transaction publishes everything, unless somebody built the release anew meanwhile.

    This reads the whole release: pages and the API start it as a job, which may `confirm` in that transaction that
    it is still theirs to publish. Raises NotAllowed or Refused, and what `confirm` raises.
    """
    if actor is not None:
        require_role(actor, release.dataset.organisation, Role.MAINTAINER)
    release = Release.objects.select_related("base", "version__dataset", "dataset__organisation").get(
        pk=release.pk
    )
    _check_ready(release)
    _verify_again(release, progress)
    objections = version_objections(release.version)
    if objections:
        raise Refused(f"{release.version} cannot be published. " + " ".join(objections))
    root = release.root
    with transaction.atomic():
        confirm()
        release = _locked(release)
        _check_ready(release)
        if release.root != root:
            raise Refused(
                f"{release.version} was built anew meanwhile. Look at it again before you publish it."
            )
        release.state, release.published_at, release.failure = ReleaseState.PUBLISHED, timezone.now(), ""
        release.save(update_fields=["state", "published_at", "failure"])
        _supersede(release)
        for removal in release.removals.order_by("created_at"):
            removal_publish(actor=actor, removal=removal)
        for case in Case.objects.filter(removal__releases=release):
            case_executed(actor=actor, case=case)
        audit_append(
            actor=actor,
            action="release_publish",
            subject=release,
            organisation=release.dataset.organisation,
            data={"rows_removed": release.rows_removed, "root": release.root},
        )
    return release


def _locked(release: Release) -> Release:
    rows = Release.objects.select_for_update(of=("self",))
    return rows.select_related("base", "version__dataset", "dataset__organisation").get(pk=release.pk)


def _check_ready(release: Release) -> None:
    """Raise Refused unless the release is verified and leaves out all that is in force now, and nothing else."""
    if release.state == ReleaseState.FAILED:
        raise Refused(f"{release.version} failed and cannot be published: {release.failure} Build it again.")
    if release.state != ReleaseState.VERIFIED:
        raise Refused(f"{release.version} is {release.state}, so it cannot be published now.")
    added = removals_of(release.base).exclude(releases=release)
    withdrawn = release.removals.filter(withdrawn_at__isnull=False)
    if added.exists() or withdrawn.exists():
        raise Refused(
            f"The removals in force changed since {release.version} was built. Build it again, then publish it."
        )


def _verify_again(release: Release, progress: Progress) -> None:
    """Compare the files with what the build recorded; a difference fails the release."""
    folder = release_folder(release)
    try:
        with public_files(release) as keys:
            verified = verify_release(
                folder,
                minisign_pub=keys.get(MINISIGN),
                oms_pub=keys.get(OMS),
                thorough=True,
                progress=progress,
            )
        same = verified.root == release.root and list_small_files(folder) == release.files
        difference = "" if same else "Its files are not those that were recorded."
    except VerificationFailed as error:
        difference = str(error)
    if difference:
        reason = f"It changed after it was built and verified. {difference}"
        changed = Release.objects.filter(pk=release.pk, state=ReleaseState.VERIFIED, root=release.root)
        changed.update(state=ReleaseState.FAILED, failure=reason)
        raise Refused(f"{release.version} was not published. {reason}")


def _supersede(release: Release) -> None:
    """Point the readers of the base and of its earlier releases to this one; a quarantine stays what it is."""
    Version.objects.filter(pk=release.version_id).update(status=VersionStatus.ACTIVE, status_reason="")
    older = Q(pk=release.base_id) | Q(base=release.base_id)
    Version.objects.filter(older, status__in=[VersionStatus.ACTIVE, VersionStatus.DEPRECATED]).exclude(
        pk=release.version_id
    ).update(
        status=VersionStatus.DEPRECATED,
        status_reason=f"A clean release was published: {release.version.name}",
    )
