"""A domain that changed hands raises a report by itself. Fills the hook `domain_taken_over` of `registry`.

Whoever bought the domain may serve what he likes under links that a dataset's users still trust, so nobody waits for
somebody to notice: the report names each domain by a rule, its case locates the rows, and people decide. A domain that an
undecided report of the census names is not reported again, whatever else is found of it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef

from registry.links.domains.models import Takeover
from takedowns.cases.models import Case, DomainReport
from takedowns.reports.models import Category, Source
from takedowns.reports.services import report_create

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

CATEGORY = "poisoning"
_NAMED = 20  # domains whose evidence the description tells; all are items


def domains_report(takeovers: Sequence[int]) -> None:
    """Report the takeovers of one dataset, by primary key, in the caller's transaction; those reported before are left out."""
    unreported = Takeover.objects.filter(pk__in=takeovers, domain_report=None).order_by("pk")
    found = list(unreported.select_related("dataset__organisation", "domain", "change"))
    undecided = _undecided(found)
    DomainReport.objects.bulk_create(
        [
            DomainReport(takeover=one, report_id=undecided[one.domain_id])
            for one in found
            if one.domain_id in undecided
        ]
    )
    new = [one for one in found if one.domain_id not in undecided]
    if not new:
        return
    report, _ = report_create(
        actor=None,
        dataset=new[0].dataset,
        category=Category.objects.get(pk=CATEGORY),
        description=_description(new),
        lines=list(dict.fromkeys(f"domain:{one.domain.name}" for one in new)),
        source=Source.OWN_INITIATIVE,
    )
    DomainReport.objects.bulk_create([DomainReport(takeover=one, report=report) for one in new])


def _undecided(takeovers: Sequence[Takeover]) -> dict[int, UUID]:
    """The report of the census, not decided yet, that names the domain of these takeovers of one dataset, by domain."""
    decided = Case.objects.filter(reports=OuterRef("report"), decided_at__isnull=False)
    known = DomainReport.objects.filter(
        ~Exists(decided),
        takeover__dataset__in={one.dataset_id for one in takeovers},
        takeover__domain__in={one.domain_id for one in takeovers},
    )
    return dict(known.values_list("takeover__domain", "report"))


def _description(takeovers: Sequence[Takeover]) -> str:
    """What was found, for those who decide. The names are those of domains, which the census knows without any report."""
    lines = []
    for one in takeovers[:_NAMED]:
        what = one.change.get_kind_display()
        lines.append(f"{one.domain.name}: {what[0].lower()}{what[1:]}, {one.change.at:%Y-%m-%d}.")
    if len(takeovers) > _NAMED:
        lines.append(f"And {len(takeovers) - _NAMED:,} more; each is an item.")
    return (
        "The census of domains found that these changed hands after rows of this dataset on them were collected. "
        "What their links answer now is the new owner's.\n" + "\n".join(lines)
    )
