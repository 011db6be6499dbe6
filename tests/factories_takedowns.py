"""Plain functions that make what a test of takedowns needs, by the services that people use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import takedowns.cases.tasks  # noqa: F401  -- registers the kinds of jobs that run_jobs does
from registry.accounts.models import Organisation, Role, User
from registry.links.panel import panel_draw
from takedowns.cases import services
from takedowns.reports.categories import seed_categories
from takedowns.reports.models import Category, Item, Report
from takedowns.reports.services import report_create
from tests.factories import make_dataset, make_member, make_organisation, make_version, run_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.datasets.models import Dataset, Version
    from takedowns.cases.models import Case, Decision
    from takedowns.removals.models import Removal


@dataclass(frozen=True)
class Team:
    """An organisation with one member of each role, and a second approver."""

    organisation: Organisation
    staff: User
    maintainer: User
    approver: User
    second_approver: User


def make_team() -> Team:
    organisation = make_organisation()
    return Team(
        organisation,
        *(
            make_member(organisation, role)
            for role in (Role.STAFF, Role.MAINTAINER, Role.APPROVER, Role.APPROVER)
        ),
    )


def make_category(slug: str = "opt_out") -> Category:
    """One of the categories that a new site starts with."""
    seed_categories(Category)
    return Category.objects.get(slug=slug)


def make_report(
    dataset: Dataset | None = None,
    lines: Sequence[str] = ("https://img.example.com/1.jpg",),
    category: str = "opt_out",
    **fields: Any,
) -> tuple[Report, str]:
    """A report with its case (still open, not located), and the secret of its status link."""
    return report_create(
        actor=fields.pop("actor", None),
        dataset=dataset or make_version().dataset,
        category=make_category(category),
        description=fields.pop("description", "These are mine."),
        lines=lines,
        **fields,
    )


def make_case(
    dataset: Dataset | None = None, lines: Sequence[str] = ("https://img.example.com/1.jpg",), **fields: Any
) -> Case:
    """A case whose items are located, not claimed yet."""
    report, _ = make_report(dataset, lines, **fields)
    run_jobs()
    return report.cases.get()


def make_dataset_of(team: Team, slug: str = "") -> tuple[Dataset, Version]:
    """A dataset of the team with one version of ten rows, https://img.example.com/0.jpg to 9.jpg."""
    dataset = make_dataset(team.organisation, slug)
    return dataset, make_version(dataset)


def make_watched(team: Team) -> Version:
    """The version of `make_dataset_of`, with every link of it in its panel."""
    _, version = make_dataset_of(team)
    panel_draw(actor=team.maintainer, version=version, size=100)
    run_jobs()
    return version


def make_proposed(team: Team, case: Case, **fields: Any) -> Decision:
    """The case claimed and proposed by the maintainer."""
    services.case_claim(actor=team.maintainer, case=case)
    return services.case_propose(
        actor=team.maintainer,
        case=case,
        statement=fields.pop("statement", "They are yours."),
        summary=fields.pop("summary", "Rows that their owner opted out."),
        **fields,
    )


def make_removal(
    team: Team, dataset: Dataset, lines: Sequence[str] = ("https://img.example.com/1.jpg",)
) -> Removal:
    """A removal in force, not published yet, made the whole way: report, case, proposal, approval."""
    case = make_case(dataset, lines)
    decision = make_proposed(team, case)
    removal = services.case_approve(actor=team.approver, case=case, preview=decision.preview).removal
    assert removal is not None
    return removal


def outcomes(case: Case) -> list[str]:
    """What became of each item of the case, in the order of its lines."""
    items = Item.objects.filter(report__cases=case).order_by("position")
    return list(items.values_list("outcome", flat=True))
