"""Filters of the list of links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django_filters
from django.db.models import Q

from registry.links.content.selectors import with_content
from registry.links.content.states import ContentState
from registry.links.domains.takeovers import with_takeovers
from registry.links.models import PanelRow
from registry.links.outcomes import Outcome
from registry.links.states import SHOWN

if TYPE_CHECKING:
    from django.db.models import QuerySet


class PanelRowFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By states, by what the last check saw, by host or a part of the URL, and by what was found."""

    state = django_filters.MultipleChoiceFilter(
        field_name="link__state", choices=[(state.value, state.label) for state in SHOWN], distinct=False
    )
    outcome = django_filters.ChoiceFilter(field_name="link__outcome", choices=Outcome.choices)
    content = django_filters.ChoiceFilter(
        method="filter_content", choices=ContentState.choices, label="How its content stands"
    )
    ownership_changed = django_filters.BooleanFilter(
        method="filter_ownership_changed", label="Its domain changed hands after the rows were collected"
    )
    host = django_filters.CharFilter(field_name="link__host__name", label="Host, in full")
    opted_out = django_filters.BooleanFilter(
        method="filter_opted_out", label="Its answer declares an opt-out"
    )
    q = django_filters.CharFilter(method="filter_q", label="A part of the URL, or of the host's name")

    class Meta:
        model = PanelRow
        fields = ["state", "outcome", "content", "ownership_changed", "host", "opted_out", "q"]

    # What is told of a row is looked up only where it narrows: most lists sort tens of thousands of rows without it.

    def filter_content(self, rows: QuerySet[PanelRow], _name: str, state: str) -> QuerySet[PanelRow]:
        """Keep the links whose content stands so."""
        return with_content(rows).filter(Q(content=state))

    def filter_ownership_changed(
        self,
        rows: QuerySet[PanelRow],
        _name: str,
        wanted: bool,  # noqa: FBT001  -- django-filter's signature
    ) -> QuerySet[PanelRow]:
        """Keep the links whose domain changed hands, or those of which that is not known."""
        return with_takeovers(rows).filter(Q(ownership_changed=wanted))

    def filter_q(self, rows: QuerySet[PanelRow], _name: str, part: str) -> QuerySet[PanelRow]:
        """Keep the links with this in their URL or their host, which a URL may write otherwise."""
        return rows.filter(Q(link__url__icontains=part) | Q(link__host__name__icontains=part))

    def filter_opted_out(self, rows: QuerySet[PanelRow], _name: str, wanted: bool) -> QuerySet[PanelRow]:  # noqa: FBT001  -- django-filter's signature
        """Keep the links that declare an opt-out, or those that do not."""
        return rows.exclude(link__opt_outs=[]) if wanted else rows.filter(link__opt_outs=[])


# Which hosts of a version: value in the address -> what the chip says.
HOSTS = (("", "All"), ("dead", "With dead links"), ("failing", "With failing links"))


class HostFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """Hosts of a version's links (`hosts.version_hosts`) by a part of the name and by what they have."""

    q = django_filters.CharFilter(field_name="host", lookup_expr="icontains")

    class Meta:
        model = PanelRow
        fields = ["q"]

    def filter_queryset(self, queryset: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
        """Narrow by name, then by `with`, which is no name that Python could give a field."""
        found: QuerySet[PanelRow] = super().filter_queryset(queryset)
        wanted = self.data.get("with")
        return found.filter(**{f"{wanted}__gt": 0}) if wanted in {"dead", "failing"} else found
