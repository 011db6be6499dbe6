"""Filters of the list of domains, for its page and its JSON."""

from __future__ import annotations

import django_filters

from registry.links.domains.models import Domain
from registry.links.domains.selectors import DomainKind


class DomainFilter(django_filters.FilterSet):  # type: ignore[misc]  # the package ships no types
    """By what became of it, and by name."""

    kind = django_filters.MultipleChoiceFilter(choices=DomainKind.choices, distinct=False)
    name = django_filters.CharFilter(label="Domain, in full")
    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains", label="A part of the domain")

    class Meta:
        model = Domain
        fields = ["kind", "name", "q"]
