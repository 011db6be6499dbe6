"""Pages: reporting, and what is shown once after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from registry.accounts.models import User
from registry.datasets.models import Dataset
from registry.lib.errors import Refused
from registry.lib.ids import secret_digest
from registry.lib.uploads import check_upload
from registry.lib.words import counted
from takedowns.reports.forms import ReportForm
from takedowns.reports.models import Category, Outcome, Report
from takedowns.reports.refusals import where_to_turn
from takedowns.reports.secret import secret_page
from takedowns.reports.services import report_create
from takedowns.reports.throttling import report_wait

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_http_methods(["GET", "HEAD", "POST"])
def report_create_page(request: HttpRequest) -> HttpResponse:
    """Report rows; `?dataset=slug` chooses the dataset, so that its versions can be ticked."""
    if request.method == "POST":
        return _report_send(request)
    slug = request.GET.get("dataset", "").replace("\0", "")
    dataset = Dataset.objects.visible_to(request.user).filter(slug=slug).first()
    form = ReportForm(user=request.user, dataset=dataset, initial={"dataset": dataset and dataset.slug})
    return _report_form(request, form, status=200)


def _report_send(request: HttpRequest) -> HttpResponse:
    form = ReportForm(request.POST, request.FILES, user=request.user)
    if (wait := report_wait(request)) is not None:
        form.add_error(
            None,
            f"Many reports came from your address. Nothing was sent: try again in {counted(wait // 60 + 1, 'minute')}.",
        )
        return _report_form(request, form, status=429)
    try:
        check_upload(request)
    except Refused as refused:
        form.add_error("file", str(refused))
    if not form.is_valid():
        return _report_form(request, form, status=400)
    given = form.cleaned_data
    try:
        _, secret = report_create(
            actor=request.user if isinstance(request.user, User) else None,
            dataset=given["dataset"],
            category=given["category"],
            description=given["description"],
            lines=form.lines,
            file_lines=form.file_lines,
            versions=list(given["versions"]),
            contact_name=given["contact_name"],
            contact_email=given["contact_email"],
        )
    except Refused as refused:
        form.add_error(None, str(refused))
        return _report_form(request, form, status=400)
    # The secret travels in the path of the next page, so it is kept in no session and no cookie.
    return redirect("report_received", token=secret)


def _report_form(request: HttpRequest, form: ReportForm, *, status: int) -> HttpResponse:
    elsewhere = [
        {
            "slug": category.slug,
            "label": category.label,
            "help": category.help,
            "answer": where_to_turn(category),
        }
        for category in Category.objects.exclude(sensitivity="open")
    ]
    return render(
        request, "takedowns/reports/report_create.html", {"form": form, "elsewhere": elsewhere}, status=status
    )


@require_safe
@secret_page
def report_received(request: HttpRequest, token: str) -> HttpResponse:
    """What to keep after sending: the number and the secret link. Whoever lacks the secret gets a 404."""
    report = (
        Report.objects.filter(token_digest=secret_digest(token))
        .select_related("dataset__organisation")
        .first()
    )
    if report is None:
        raise Http404
    unread = report.items.filter(outcome__in=[Outcome.INVALID, Outcome.DUPLICATE])
    return render(
        request,
        "takedowns/reports/report_received.html",
        {
            "report": report,
            "link": settings.SITE_URL + reverse("report_status", args=[token]),
            "unread": unread[:10],
            "unread_count": report.items_total - report.items_readable,
        },
    )
