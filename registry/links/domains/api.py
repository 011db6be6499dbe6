"""API: how the domains behind a version's links stand, and for members each of them with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.response import Response

from registry.links.api.versions import LinksView, MembersView
from registry.links.domains.filters import DomainFilter
from registry.links.domains.models import ChangeKind, Domain, DomainChange
from registry.links.domains.selectors import DomainKind, domain_rows, version_domains

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class DomainHealthOut(serializers.Serializer[Any]):
    """How the domains behind the links of a version stand."""

    domains = serializers.DictField(child=serializers.IntegerField(), help_text="Domains by kind")
    links = serializers.DictField(
        child=serializers.IntegerField(), help_text="Links of the panel by the kind of their domain"
    )
    alive = serializers.DictField(
        child=serializers.IntegerField(), help_text="Those of them that are known to be alive"
    )
    dead = serializers.DictField(
        child=serializers.IntegerField(), help_text="Those of them that are known to be dead"
    )
    unknown = serializers.DictField(child=serializers.IntegerField(), help_text="The others")
    asked_first = serializers.DateTimeField(allow_null=True, help_text="The oldest of the last censuses")
    asked_last = serializers.DateTimeField(allow_null=True)
    has_second = serializers.BooleanField(
        help_text="Whether a second resolver confirms that a domain is gone"
    )
    has_registries = serializers.BooleanField(help_text="Whether registries are asked about registrations")
    is_date_doubted = serializers.BooleanField(
        help_text="Whether so many domains are registered later than the version that its date is doubted: then no "
        "registration is reported"
    )


class DomainChangeOut(serializers.ModelSerializer[DomainChange]):
    """One change, with what was seen before and after."""

    kind = serializers.ChoiceField(choices=ChangeKind.choices)
    before = serializers.ListField(child=serializers.CharField())
    after = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = DomainChange
        fields = ["kind", "at", "before", "after"]


class DomainOut(serializers.ModelSerializer[Domain]):
    """One domain behind the links of a version."""

    kind = serializers.ChoiceField(choices=DomainKind.choices)
    links = serializers.IntegerField(help_text="Links of the panel that lead to it")
    evidence = DomainChangeOut(many=True, help_text="Changes since the rows were collected, newest first")

    class Meta:
        model = Domain
        fields = [
            "name", "kind", "links", "name_servers", "addresses", "registered_at", "expires_at", "registry_answer",
            "registry_statuses", "checked_at", "evidence",
        ]  # fmt: skip


class VersionDomains(LinksView[Domain]):
    """How the domains behind the links of a version stand."""

    serializer_class = DomainHealthOut
    filter_backends = []

    @extend_schema(
        operation_id="version_domains",
        summary="How the domains behind a version's links stand, by kind of change",
        responses=DomainHealthOut,
    )
    def get(self, _request: Request, **_address: str) -> Response:
        """Return the counts; 404 where no panel leads to a domain."""
        health = version_domains(self.version())
        if health is None:
            raise Http404
        return Response(DomainHealthOut(health).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="version_domain_rows",
        summary="The domains behind a version's links with their evidence, the gravest first (staff)",
    )
)
class VersionDomainRows(MembersView[Domain], ListAPIView[Domain]):
    """The domains behind the links of a version."""

    serializer_class = DomainOut
    filterset_class = DomainFilter
    queryset = Domain.objects.none()

    def get_queryset(self) -> QuerySet[Domain]:
        """Return them."""
        if getattr(self, "swagger_fake_view", False):
            return Domain.objects.none()
        return domain_rows(self.request.user, self.version())
