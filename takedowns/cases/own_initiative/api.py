"""API: what the checks of a version's links found, as a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED

from registry.accounts.requests import signed_in
from registry.links.api.versions import MembersView
from registry.links.models import Panel
from takedowns.cases.own_initiative.selectors import Finding, domain_preview, finding_domains, preview
from takedowns.cases.own_initiative.services import own_initiative_open, own_initiative_open_domain

if TYPE_CHECKING:
    from rest_framework.request import Request

    from takedowns.cases.models import Case


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "As GET gave the preview",
            value={"reason": "Dead since spring, on every host.", "preview": "9f2b…"},
            request_only=True,
        )
    ]
)
class FindingIn(serializers.Serializer[Any]):
    """Why links that the checks found should go, and the preview that was looked at."""

    reason = serializers.CharField(max_length=5_000, help_text="Read by those who propose and approve")
    preview = serializers.CharField(max_length=64, help_text="`preview` of what GET answered")


class FindingRowsOut(serializers.Serializer[Any]):
    """Rows of one version that name the links."""

    dataset = serializers.CharField(source="version.dataset.slug")
    version = serializers.CharField(source="version.name")
    imported = serializers.SerializerMethodField()
    rows = serializers.IntegerField(allow_null=True, help_text="null: known once the case has located them")

    def get_imported(self, one: Any) -> bool:
        """Whether the version was imported; else it is a release made of one."""
        return one.version.base_id is None


class FindingOut(serializers.Serializer[Any]):
    """What a case about these links would rest on."""

    finding = serializers.CharField()
    links = serializers.SerializerMethodField(help_text="Items of the report; a domain is one")
    rows = serializers.IntegerField(allow_null=True, help_text="In imported versions")
    versions = FindingRowsOut(many=True)
    preview = serializers.CharField(source="digest", help_text="Send it back to open the case")

    def get_links(self, seen: Any) -> int:
        """How many links, or domains."""
        return len(seen.lines)


class CaseOpenedOut(serializers.Serializer[Any]):
    """The case that was opened."""

    number = serializers.CharField()


_OPENED = {
    201: CaseOpenedOut,
    409: OpenApiResponse(description="Something changed since the preview, or nothing is to be reported"),
}


class OwnInitiative(MembersView[Panel]):
    """What the checks of a version's links found, as a case."""

    @extend_schema(
        operation_id="own_initiative_preview",
        summary="Dead or replaced links of a version, as a case would name them (staff)",
        responses=FindingOut,
    )
    def get(self, _request: Request, finding: str, **_address: str) -> Response:
        """Count the links, and their rows in every version; `finding` is `dead` or `replaced`."""
        return Response(FindingOut(preview(self.version(), _finding(finding))).data)

    @extend_schema(
        operation_id="own_initiative_open",
        summary="Open a case about them (staff)",
        request=FindingIn,
        responses=_OPENED,
    )
    def post(self, request: Request, finding: str, **_address: str) -> Response:
        """Report them on our own initiative; refused if anything changed since the preview."""
        version, found = self.version(), _finding(finding)
        case = own_initiative_open(
            actor=signed_in(request), version=version, finding=found, **_confirmed(request)
        )
        return _opened(case)


class DomainOwnInitiative(MembersView[Panel]):
    """Every row of a domain that is gone or changed hands, as a case."""

    @extend_schema(
        operation_id="own_initiative_domain_preview",
        summary="Every row of a domain that is gone or changed hands, as a case would name it (staff)",
        responses=FindingOut,
    )
    def get(self, request: Request, domain: str, **_address: str) -> Response:
        """Count its rows in every version; 404 for a domain that is neither gone nor changed hands."""
        version = self.version()
        found = get_object_or_404(finding_domains(request.user, version), name=domain)
        return Response(FindingOut(domain_preview(version, found)).data)

    @extend_schema(
        operation_id="own_initiative_domain_open",
        summary="Open a case about every row of a domain (staff)",
        request=FindingIn,
        responses=_OPENED,
    )
    def post(self, request: Request, domain: str, **_address: str) -> Response:
        """Report it on our own initiative; refused if anything changed since the preview."""
        version = self.version()
        get_object_or_404(finding_domains(request.user, version), name=domain)
        case = own_initiative_open_domain(
            actor=signed_in(request), version=version, name=domain, **_confirmed(request)
        )
        return _opened(case)


def _confirmed(request: Request) -> dict[str, str]:
    """The reason, and the digest of the preview that was looked at, as the services take them."""
    given = FindingIn(data=request.data)
    given.is_valid(raise_exception=True)
    return {"reason": given.validated_data["reason"], "seen": given.validated_data["preview"]}


def _opened(case: Case) -> Response:
    """The answer to whoever opened it."""
    return Response(CaseOpenedOut({"number": case.number}).data, status=HTTP_201_CREATED)


def _finding(value: str) -> Finding:
    if value not in Finding.values:
        raise Http404
    return Finding(value)
