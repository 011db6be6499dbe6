"""Pages: the queue, a case and what is done with it, and the reporter's status page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from registry.accounts.models import User
from registry.accounts.permissions import organisations_of
from registry.lib.errors import NotAllowed, Refused
from registry.lib.pagination import page_of
from takedowns.cases import services
from takedowns.cases.filters import ITEMS, QUEUES, CaseFilter, ItemFilter
from takedowns.cases.forms import ApproveForm, MarkForm, MergeForm, ProposeForm, ReturnForm
from takedowns.cases.links.selectors import case_links
from takedowns.cases.permissions import may_approve, may_propose
from takedowns.cases.redacting import redaction_gaps
from takedowns.cases.selectors import (
    case_consequences,
    case_history,
    case_job,
    case_list,
    decision_last,
    decision_open,
    item_counts,
    items_with_rows,
    queue_counts,
)
from takedowns.cases.services.items import MARKABLE
from takedowns.cases.states import CHANGEABLE, UNDECIDED, CaseState
from takedowns.cases.status import report_by_secret, report_items, report_status
from takedowns.cases.wording import OUTCOME_MEANING, STATE_MEANING, consequence_in_words
from takedowns.reports.masking import kind_label, masked, outcome_label, part_named
from takedowns.reports.models import Item, Outcome
from takedowns.reports.secret import secret_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.forms import Form
    from django.http import HttpRequest, HttpResponse

    from takedowns.cases.models import Case


def _actor(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _visible(request: HttpRequest, number: str) -> Case:
    """Return the case, or raise 404 for whoever may not know of it."""
    return get_object_or_404(case_list(request.user), number=number)


@require_safe
@login_required
def queue(request: HttpRequest) -> HttpResponse:
    """Show the cases of the user's organisations, the most urgent first."""
    # Who belongs to no organisation has no queue, and need not know that there is one.
    if not organisations_of(request.user).exists():
        raise Http404
    everything = case_list(request.user)
    asked = request.GET.copy()
    asked.setdefault("queue", "open")
    found = CaseFilter(asked, everything, request=request)
    current = asked["queue"]
    counts = queue_counts(request.user, everything)
    now = timezone.now()
    page = page_of(request, found.qs if found.is_valid() else everything.none())
    return render(
        request,
        "takedowns/cases/queue.html",
        {
            "page": page,
            "rows": [
                {"case": case, "meaning": STATE_MEANING[CaseState(case.state)], "held": _held(case, now)}
                for case in page
            ],
            "counts": counts,
            "chips": [
                {"text": text, "url": f"?queue={name}", "count": counts[name], "current": name == current}
                for name, text in QUEUES
            ],
            "acts": [("n", "take the next case"), ("c", "claim the row's case")],
            "filtered": bool(asked.get("q")),
        },
    )


def _held(case: Case, now: Any) -> bool:
    return case.claimed_by_id is not None and case.claimed_until is not None and case.claimed_until > now


@require_safe
@login_required
def case_detail(request: HttpRequest, number: str) -> HttpResponse:
    """Show what was reported and located, the decision with its consequence, and the history."""
    return _case_page(request, _visible(request, number))


def _case_page(request: HttpRequest, case: Case, *, status: int = 200, **forms: Form) -> HttpResponse:
    show = ItemFilter(request.GET, items_with_rows(case))
    page = page_of(request, show.qs if show.is_valid() else items_with_rows(case), param="items")
    current = request.GET.get("show") or "all"
    counts = item_counts(case)
    decision = decision_open(case)
    consequences = list(case_consequences(case))
    bases = [one for one in consequences if one.version.base_id is None]
    rows, redacted_rows = sum(one.rows for one in bases), sum(one.redacted_rows for one in bases)
    now = timezone.now()
    held = _held(case, now)
    user = request.user
    context = {
        "case": case,
        "organisation": case.dataset.organisation,
        "state_meaning": STATE_MEANING[CaseState(case.state)],
        "reports": page_of(request, case.reports.order_by("created_at"), param="reports"),
        "page": page,
        "items": [
            {
                "item": item,
                "masked": masked(item) if item.key else "",
                "kind": kind_label(item.kind),
                "part": part_named(item),
                "outcome": outcome_label(item, Outcome(item.outcome)),
                "meaning": OUTCOME_MEANING[Outcome(item.outcome)],
                "markable": item.outcome in MARKABLE,
            }
            for item in page
        ],
        "links": case_links(case, list(page.object_list)),
        "counts": counts,
        "chips": [
            {"text": text, "url": f"?show={name}", "count": getattr(counts, name), "current": name == current}
            for name, text in ITEMS
        ],
        "consequences": consequences,
        "rows": rows,
        "redacted_rows": redacted_rows,
        "consequence": consequence_in_words(case, rows, redacted_rows),
        "redaction_gaps": redaction_gaps(case),
        "base_count": len(bases),
        "dataset_count": len({one.version.dataset_id for one in bases}),
        "decision": decision,
        "last_decision": decision or decision_last(case),
        "job": case_job(case),
        "history": case_history(case),
        "held": held,
        "mine": held and case.claimed_by_id == user.pk,
        "may_claim": case.state in UNDECIDED and not (held and case.claimed_by_id != user.pk),
        "may_change": case.state in CHANGEABLE and not (held and case.claimed_by_id != user.pk),
        "may_propose": case.state == CaseState.IN_REVIEW and may_propose(user, case),
        "may_approve": decision is not None and may_approve(user, case, decision),
        "proposed_by_me": decision is not None and decision.proposer_id == user.pk,
        "propose_form": ProposeForm(prefix="propose"),
        "approve_form": ApproveForm(initial={"preview": decision.preview}) if decision else None,
        "return_form": ReturnForm(prefix="return"),
        "merge_form": MergeForm(prefix="merge"),
        "crumbs": [("Queue", reverse("queue"))],
    }
    return render(request, "takedowns/cases/case_detail.html", context | forms, status=status)


def _act(request: HttpRequest, case: Case, act: Callable[[], object], done: str) -> HttpResponse:
    """Do an act that has no form of its own; a refusal is shown on the case, and nobody is left on an error page."""
    try:
        act()
    except NotAllowed:
        raise
    except Refused as refused:
        messages.error(request, str(refused))
        return _case_page(request, _visible(request, case.number), status=409)
    messages.success(request, done)
    return redirect("case_detail", number=case.number)


def _act_with_form(
    request: HttpRequest,
    case: Case,
    form: Form,
    *,
    name: str,
    act: Callable[[dict[str, Any]], object],
    done: str,
) -> HttpResponse:
    """Do an act from its form; what is wrong or refused is shown in that form, with all that was entered."""
    if not form.is_valid():
        return _case_page(request, case, status=400, **{name: form, "failed_form": form})
    try:
        act(form.cleaned_data)
    except Refused as refused:
        form.add_error(None, str(refused))
        status = 403 if isinstance(refused, NotAllowed) else 409
        return _case_page(
            request, _visible(request, case.number), status=status, **{name: form, "failed_form": form}
        )
    messages.success(request, done)
    return redirect("case_detail", number=case.number)


@require_POST
@login_required
def case_next(request: HttpRequest) -> HttpResponse:
    """Claim the most urgent case and go to it."""
    case = services.case_claim_next(actor=_actor(request))
    if case is None:
        messages.info(
            request, "No case waits for you: every open one is held by somebody or waits for a second person."
        )
        return redirect("queue")
    return redirect("case_detail", number=case.number)


@require_POST
@login_required
def case_claim(request: HttpRequest, number: str) -> HttpResponse:
    """Hold the case for half an hour."""
    case = _visible(request, number)
    return _act(
        request,
        case,
        lambda: services.case_claim(actor=_actor(request), case=case),
        "The case is yours for 30 minutes.",
    )


@require_POST
@login_required
def case_release_claim(request: HttpRequest, number: str) -> HttpResponse:
    """Let go of the case."""
    case = _visible(request, number)
    return _act(
        request,
        case,
        lambda: services.case_release_claim(actor=_actor(request), case=case),
        "The case is free for somebody else.",
    )


@require_POST
@login_required
def case_locate(request: HttpRequest, number: str) -> HttpResponse:
    """Locate the items again."""
    case = _visible(request, number)
    return _act(
        request,
        case,
        lambda: services.case_locate(actor=_actor(request), case=case),
        "The items are being located in every version.",
    )


@require_POST
@login_required
def item_mark(request: HttpRequest, number: str) -> HttpResponse:
    """Mark the ticked items."""
    case = _visible(request, number)
    return _act_with_form(
        request,
        case,
        MarkForm(request.POST),
        name="mark_form",
        act=lambda given: services.item_mark(
            actor=_actor(request),
            case=case,
            items=given["items"],
            outcome=Outcome(given["outcome"]),
            note=given["note"],
            columns=given["columns"],
        ),
        done="The items are marked.",
    )


@require_POST
@login_required
def case_propose(request: HttpRequest, number: str) -> HttpResponse:
    """Propose a decision."""
    case = _visible(request, number)
    return _act_with_form(
        request,
        case,
        ProposeForm(request.POST, prefix="propose"),
        name="propose_form",
        act=lambda given: services.case_propose(
            actor=_actor(request),
            case=case,
            statement=given["statement"],
            summary=given["summary"],
            default=Outcome(given["default"]),
            default_note=given["default_note"],
            columns=given["columns"],
        ),
        done="The decision is proposed. A second person must approve it.",
    )


@require_POST
@login_required
def case_approve(request: HttpRequest, number: str) -> HttpResponse:
    """Approve the proposal as a second person."""
    case = _visible(request, number)
    return _act_with_form(
        request,
        case,
        ApproveForm(request.POST),
        name="approve_form",
        act=lambda given: services.case_approve(actor=_actor(request), case=case, preview=given["preview"]),
        done="The decision is approved.",
    )


@require_POST
@login_required
def case_return(request: HttpRequest, number: str) -> HttpResponse:
    """Send the proposal back to review."""
    case = _visible(request, number)
    return _act_with_form(
        request,
        case,
        ReturnForm(request.POST, prefix="return"),
        name="return_form",
        act=lambda given: services.case_return(actor=_actor(request), case=case, reason=given["reason"]),
        done="The proposal is returned to review.",
    )


@require_POST
@login_required
def case_merge(request: HttpRequest, number: str) -> HttpResponse:
    """Merge the case into another."""
    case = _visible(request, number)

    def merge(given: dict[str, Any]) -> None:
        into = case_list(request.user).filter(number=given["into"].strip().upper()).first()
        if into is None:
            raise Refused("There is no case of this number. Nothing was changed.")
        services.case_merge(actor=_actor(request), case=case, into=into)

    form = MergeForm(request.POST, prefix="merge")
    return _act_with_form(request, case, form, name="merge_form", act=merge, done="The case is merged.")


@require_safe
@secret_page
def status(request: HttpRequest, token: str) -> HttpResponse:
    """Tell the reporter where the report stands. Whoever lacks the secret gets a 404."""
    report = report_by_secret(token)
    if report is None:
        raise Http404
    found = report_status(report)
    page = page_of(request, report_items(report, settled=found.settled), param="items")
    return render(
        request,
        "takedowns/cases/report_status.html",
        {
            "report": report,
            "status": found,
            "outcomes": [(outcome.label, n) for outcome in Outcome if (n := found.outcomes.get(outcome))],
            "page": page,
            "items": [_shown(item) for item in page],
        },
    )


def _shown(item: Any) -> dict[str, Any]:
    """One item as its reporter sees it; `shown_outcome` and `shown_note` come from `report_items`."""
    line: Item = item
    return {
        "place": line.place,
        # A line that could not be read is named by its number, which stands beside it.
        "masked": masked(line) if line.key else "",
        "kind": kind_label(line.kind),
        "part": part_named(line),
        "outcome": outcome_label(line, Outcome(item.shown_outcome)),
        "meaning": OUTCOME_MEANING[Outcome(item.shown_outcome)],
        "note": item.shown_note,
    }
