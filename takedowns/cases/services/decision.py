"""The decision of two people.

`case_propose` settles an outcome for every item and keeps a digest of all that it rests on; `case_approve` by a second
person checks that nothing changed and makes the removal; `case_return` sends it back.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from registry.accounts.models import Role
from registry.accounts.permissions import has_role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version
from registry.datasets.selectors import STATUSES_IN_USE, versions_in_reach
from registry.jobs.models import Job
from registry.jobs.services import ALIVE
from registry.lib.errors import Refused
from takedowns.cases.consequence import consequence_write, preview_digest
from takedowns.cases.models import Case, Decision, Location
from takedowns.cases.permissions import require_approver, require_proposer
from takedowns.cases.redacting import columns_named, require_redactable
from takedowns.cases.selectors import case_items, decision_open
from takedowns.cases.services.claim import require_unheld
from takedowns.cases.services.items import case_lock, items_redact, items_settle
from takedowns.cases.states import CaseState, case_transition
from takedowns.removals.services import removal_create
from takedowns.reports.models import Outcome, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django.db.models import QuerySet

    from registry.accounts.models import User
    from takedowns.reports.models import Item


def case_propose(
    *,
    actor: User | None,
    case: Case,
    statement: str,
    summary: str,
    default: Outcome = Outcome.REMOVE,
    default_note: str = "",
    columns: Sequence[str] = (),
    keep: Mapping[int, str] | None = None,
) -> Decision:
    """Propose an outcome for every item, with the statement that the reporter reads and the public summary.

    Items that are marked to be kept or redacted stay so; `keep` marks more of them, item id -> reason. Every other item
    whose rows were located gets `default`: `remove`, `redact` with `columns`, or `reject` with `default_note`. With the
    first two, an item that names a cell or an element is redacted as it says. One that was found nowhere is `not_found`.
    Raises NotAllowed, or Refused where the case is not in review, somebody else holds it, a text or column is missing, a
    cell cannot be null, or its items have not been located in every version that there is now.
    """
    actor = require_proposer(actor, case)
    if not statement.strip() or not summary.strip():
        raise Refused("A proposal needs a statement of reasons and a public summary.")
    if default not in {Outcome.REMOVE, Outcome.REDACT, Outcome.REJECT}:
        raise Refused("Located items can be removed, redacted or kept, nothing else.")
    if default == Outcome.REDACT and not columns_named(columns):
        raise Refused("Name the columns that become null.")
    if default == Outcome.REJECT and not default_note.strip():
        raise Refused("Say why the located rows are kept: the reporter reads it.")
    with transaction.atomic():
        case = case_lock(case)
        require_unheld(case, actor)
        _require_located(case)
        _keep(case, keep or {})
        _settle_unmarked(case, default, default_note, columns)
        require_redactable(case)
        effects = consequence_write(case)
        bases = Version.objects.filter(pk__in=effects, base=None).values_list("pk", flat=True)
        decision = Decision.objects.create(
            case=case,
            proposer=actor,
            statement=statement.strip(),
            summary=summary.strip(),
            preview=preview_digest(case),
            rows=sum(effects[base].rows for base in bases),
            redacted_rows=sum(effects[base].redacted_rows for base in bases),
        )
        case_transition(case, CaseState.PROPOSED, claimed_by=None, claimed_until=None)
        outcomes = case_items(case).order_by().values_list("outcome").annotate(items=Count("pk"))
        audit_append(
            actor=actor,
            action="case_propose",
            subject=case,
            organisation=case.dataset.organisation,
            data=_figures(decision) | {"outcomes": dict(outcomes)},
        )
    return decision


def case_approve(*, actor: User | None, case: Case, preview: str) -> Case:
    """Approve the open proposal of a case as a second person; `preview` is the digest that the approver was shown.

    Makes the removal, or closes the case at once when nothing is to be removed. Raises NotAllowed for the proposer and
    for who is no approver of the organisation, and Refused where anything changed since the proposal.
    """
    with transaction.atomic():
        case = case_lock(case)
        decision = _require_proposed(case)
        actor = require_approver(actor, case, decision)
        if preview != decision.preview:
            raise Refused(
                f"The proposal on {case.number} is not the one that you were shown. Nothing was changed: load the page "
                "again and read it."
            )
        if preview_digest(case) != decision.preview:
            raise Refused(
                f"Something that the decision on {case.number} rests on changed since it was proposed: a version, the "
                "rows located or an item. Nothing was changed: return it, so that its items are located again."
            )
        now = timezone.now()
        decision.approver, decision.approved_at = actor, now
        decision.save(update_fields=["approver", "approved_at"])
        case_transition(case, CaseState.DECIDED, decided_at=now, claimed_by=None, claimed_until=None)
        keys = case_items(case).filter(outcome=Outcome.REMOVE).values_list("kind", "key")
        cells = case_items(case).filter(outcome=Outcome.REDACT)
        if keys.exists() or cells.exists():
            case.removal = removal_create(
                actor=actor,
                dataset=case.dataset,
                category=case.category,
                summary=decision.summary,
                keys=((kind, bytes(key)) for kind, key in keys.iterator() if key is not None),
                redactions=_redactions(cells),
                affected={one.version_id: (one.rows, one.redacted_rows) for one in case.consequences.all()},
            )
            case.save(update_fields=["removal"])
        else:
            case_transition(case, CaseState.CLOSED, closed_at=now)
        audit_append(
            actor=actor,
            action="case_approve",
            subject=case,
            organisation=case.dataset.organisation,
            data=_figures(decision),
        )
    return case


def case_return(*, actor: User | None, case: Case, reason: str) -> Case:
    """Send a proposal back to review with a reason; the proposer may take his own back.

    Items that are kept or redacted stay marked so; everything else is open again. Raises NotAllowed, Refused.
    """
    if not reason.strip():
        raise Refused("Say why it is returned: the proposer reads it.")
    with transaction.atomic():
        case = case_lock(case)
        decision = _require_proposed(case)
        if (
            actor is None
            or actor.pk != decision.proposer_id
            or not has_role(actor, case.dataset.organisation, Role.STAFF)
        ):
            actor = require_approver(actor, case, decision)
        decision.returned_at, decision.return_reason = timezone.now(), reason.strip()
        decision.save(update_fields=["returned_at", "return_reason"])
        undone = case_items(case).filter(outcome__in=[Outcome.REMOVE, Outcome.NOT_FOUND])
        undone.update(outcome=Outcome.PENDING)
        case_transition(case, CaseState.IN_REVIEW, claimed_by=None, claimed_until=None)
        audit_append(
            actor=actor,
            action="case_return",
            subject=case,
            organisation=case.dataset.organisation,
            data={"decision": str(decision.pk)},
        )
    return case


def case_executed(*, actor: User | None, case: Case) -> Case:
    """Close a decided case once every affected base in use has a published release without the rows; else leave it.

    Part of `release_publish`, which has checked who may.
    """
    with transaction.atomic():
        case = case_lock(case)
        if case.state != CaseState.DECIDED or case.removal is None:
            return case
        # Reached by name only: releases stand above cases.
        released = case.removal.releases.filter(state="published").values("base")
        waiting = case.removal.affected.filter(version__base=None, version__status__in=STATUSES_IN_USE)
        if waiting.exclude(version__in=released).exists():
            return case
        case_transition(case, CaseState.EXECUTED)
        case_transition(case, CaseState.CLOSED, closed_at=timezone.now())
        audit_append(
            actor=actor,
            action="case_executed",
            subject=case,
            organisation=case.dataset.organisation,
            data={"removal": str(case.removal.pk)},
        )
    return case


def _settle_unmarked(case: Case, default: Outcome, note: str, columns: Sequence[str]) -> None:
    """Give every item that is not marked its outcome, by what of it was located and what it names."""
    located = Exists(Location.objects.filter(case=case, item=OuterRef("pk")))
    nowhere = case_items(case).filter(~located, outcome__in=[Outcome.PENDING, Outcome.REDACT])
    nowhere.update(outcome=Outcome.NOT_FOUND, redacted=[])
    pending = case_items(case).filter(outcome=Outcome.PENDING)
    if default == Outcome.REJECT:
        pending.update(outcome=default, note=note.strip()[:500])
        return
    items_redact(pending.exclude(target=Target.ROW), [])
    if default == Outcome.REDACT:
        items_redact(pending, columns)
    else:
        pending.update(outcome=default, note="")


def _redactions(items: QuerySet[Item]) -> Iterator[tuple[str, bytes, str]]:
    """What the items redact, as (kind, key, column); an empty column is what the key matches itself."""
    for kind, key, columns in items.values_list("kind", "key", "redacted").iterator():
        for column in columns or [""]:
            yield kind, bytes(key or b""), column


def _figures(decision: Decision) -> dict[str, Any]:
    """What the log keeps of a decision."""
    return {"decision": str(decision.pk), "rows": decision.rows, "redacted_rows": decision.redacted_rows}


def _require_located(case: Case) -> None:
    """Raise Refused unless the case is in review and its items were located in exactly the versions that there are now."""
    if case.state != CaseState.IN_REVIEW:
        raise Refused(
            f"{case.number} is “{CaseState(case.state).label}”: claim it and review it before you propose a decision."
            if case.state == CaseState.OPEN
            else f"{case.number} is “{CaseState(case.state).label}”: no decision can be proposed now."
        )
    if (
        Job.objects.filter(kind="case_locate", subject_id=case.pk, state__in=ALIVE).exists()
        or not case.located_at
    ):
        raise Refused(
            f"The items of {case.number} have not been located yet. Wait for it, or locate them again."
        )
    if {str(version.pk) for version in versions_in_reach(case.dataset)} != set(case.scope):
        raise Refused(
            f"The versions that {case.number} concerns changed since its items were located. Locate them again first."
        )


def _keep(case: Case, keep: Mapping[int, str]) -> None:
    by_note: defaultdict[str, set[int]] = defaultdict(set)
    for item, note in keep.items():
        if not note.strip():
            raise Refused("Say why these rows are kept: the reporter reads it.")
        by_note[note].add(item)
    for note, items in by_note.items():
        items_settle(case, items, Outcome.REJECT, note)


def _require_proposed(case: Case) -> Decision:
    decision = decision_open(case)
    if case.state != CaseState.PROPOSED or decision is None:
        raise Refused(
            f"{case.number} is “{CaseState(case.state).label}”: there is no proposal to approve or return. "
            "Somebody may have settled it in the meantime."
        )
    return decision
