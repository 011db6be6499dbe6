"""Opening a case about what the checks of a version's links found: a preview (`selectors`) shows it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.lib.errors import Refused
from registry.links.domains.models import Domain
from takedowns.cases.own_initiative.selectors import domain_preview, finding_domains, finding_links, preview
from takedowns.reports.models import Category, Source
from takedowns.reports.services import report_create

if TYPE_CHECKING:
    from registry.accounts.models import User
    from registry.datasets.models import Version
    from takedowns.cases.models import Case
    from takedowns.cases.own_initiative.selectors import Finding, Preview


def own_initiative_open(
    *, actor: User | None, version: Version, finding: Finding, reason: str, seen: str
) -> Case:
    """Report these links of the version on our own initiative and return the case. Staff and up.

    `seen` is the digest of the preview that the actor saw. Raises NotAllowed, or Refused where the reason is missing,
    there is nothing to report, or anything changed since the preview; nothing is kept then.
    """
    actor = require_role(actor, version.dataset.organisation, Role.STAFF)
    with transaction.atomic():
        # Held until the end: two people who confirm at once open one case, and no check changes a state meanwhile.
        list(finding_links(version, finding).select_for_update().values("pk"))
        return _open(actor, version, preview(version, finding), reason=reason, seen=seen, noun="links")


def own_initiative_open_domain(
    *, actor: User | None, version: Version, name: str, reason: str, seen: str
) -> Case:
    """Report every row of a domain that is gone or changed hands, in every version, and return the case. Staff and up.

    Raises as `own_initiative_open`, and Domain.DoesNotExist where no such domain of this name is behind the version's links.
    """
    actor = require_role(actor, version.dataset.organisation, Role.STAFF)
    with transaction.atomic():
        # As above; the census, which would change its kind, waits too.
        Domain.objects.select_for_update().get(name=name)
        domain = finding_domains(actor, version).get(name=name)
        return _open(
            actor, version, domain_preview(version, domain), reason=reason, seen=seen, noun="domains"
        )


def _open(actor: User, version: Version, now: Preview, *, reason: str, seen: str, noun: str) -> Case:
    """Open the case, in the caller's transaction; the audit entry counts its lines under `noun`."""
    if not reason.strip():
        raise Refused("Say why these rows should go: those who decide read it.")
    if now.digest != seen:
        raise Refused(
            "The links or the versions that hold them changed since you looked. Nothing was opened: look again."
        )
    if not now.lines:
        raise Refused(f"Of {version}, {now.about} cannot be reported: nothing is not reported already.")
    report, _ = report_create(
        actor=actor,
        dataset=version.dataset,
        category=Category.objects.get(pk=now.category),
        description=f"{reason.strip()}\n\nFound by checking links of {version}.",
        lines=now.lines,
        versions=[version],
        source=Source.OWN_INITIATIVE,
    )
    case: Case = report.cases.get()
    audit_append(
        actor=actor,
        action="own_initiative_open",
        subject=case,
        organisation=version.dataset.organisation,
        data={"finding": now.finding.value, noun: len(now.lines), "version": str(version)},
    )
    return case
