"""Pages: the jobs of one's organisations, one job with its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from registry.jobs.filters import JobFilter
from registry.jobs.models import JobState
from registry.jobs.selectors import job_list as jobs_of
from registry.jobs.selectors import seconds_left
from registry.jobs.services import ALIVE
from registry.lib.pagination import page_of

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.jobs.models import Job

# htmx stops polling at this status.
STOP_POLLING = 286

MEANINGS = {JobState.SUCCEEDED: "good", JobState.FAILED: "danger"}


@login_required
@require_safe
def job_list(request: SignedIn) -> HttpResponse:
    """The jobs, newest first, by state where asked."""
    found = JobFilter(request.GET, queryset=jobs_of(request.user))
    page = page_of(request, found.qs)
    chosen = request.GET.get("state", "")
    chips = [{"text": "All", "url": "?", "current": not chosen}] + [
        {"text": label, "url": f"?state={value}", "current": chosen == value}
        for value, label in JobState.choices
    ]
    rows = [(job, MEANINGS.get(JobState(job.state), "neutral")) for job in page]
    return render(request, "registry/jobs/job_list.html", {"page": page, "rows": rows, "chips": chips})


@login_required
@require_safe
@never_cache
def job_detail(request: SignedIn, job_id: UUID) -> HttpResponse:
    """One job: its state, progress and end. Polls by script, or reloads where scripts are off."""
    job = get_object_or_404(jobs_of(request.user), pk=job_id)
    return render(request, "registry/jobs/job_detail.html", _progress(job))


@login_required
@require_safe
@never_cache
def job_progress(request: SignedIn, job_id: UUID) -> HttpResponse:
    """The progress alone, for polling; when the job has ended, htmx is told to load the page anew."""
    job = get_object_or_404(jobs_of(request.user), pk=job_id)
    context = _progress(job)
    response = render(
        request, "components/_progress.html", context, status=200 if context["poll_url"] else STOP_POLLING
    )
    if not context["poll_url"]:
        response["HX-Refresh"] = "true"
    return response


def _progress(job: Job) -> dict[str, Any]:
    """What components/_progress.html takes, and the job."""
    return {
        "job": job,
        "meaning": MEANINGS.get(JobState(job.state), "neutral"),
        "ident": "progress",
        "title": job.stage or job.get_state_display(),
        "done": job.rows_done,
        "total": job.rows_total or None,
        "unit": "row",
        "left": seconds_left(job),
        "poll_url": reverse("job_progress", args=[job.pk]) if job.state in ALIVE else "",
    }
