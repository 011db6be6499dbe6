"""Filters of the job list, the same on the page and at the API."""

from __future__ import annotations

import django_filters

from registry.jobs.models import Job, JobState


class JobFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By state and by kind."""

    state = django_filters.ChoiceFilter(choices=JobState.choices)
    kind = django_filters.CharFilter()

    class Meta:
        model = Job
        fields = ["state", "kind"]
