"""API: the links of a version one by one, for members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.response import Response

from registry.links.api.versions import MembersView
from registry.links.filters import PanelRowFilter
from registry.links.models import LinkPolicy, Observation, PanelRow
from registry.links.outcomes import Outcome
from registry.links.rows import (
    ids_of,
    link_history,
    link_target,
    link_versions,
    next_check,
    opt_out_evidence,
    rows_shown,
    version_row,
)
from registry.links.selectors import panel_rows
from registry.links.serializers import PanelRowOut

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

MOST = 200  # checks, and versions, in one answer


class NextCheckOut(serializers.Serializer[Any]):
    """What the next check of a link waits for."""

    why = serializers.CharField(help_text="In words; they lead up to the time, if there is one")
    at = serializers.DateTimeField(allow_null=True)


class CheckOut(serializers.Serializer[Observation]):
    """What one check saw."""

    at = serializers.DateTimeField()
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    status = serializers.IntegerField(help_text="HTTP status; 0: no answer")
    milliseconds = serializers.IntegerField()


class LinkInVersionOut(serializers.Serializer[PanelRow]):
    """A version whose sample holds the link, and its first row there."""

    dataset = serializers.CharField(source="panel.version.dataset.slug")
    version = serializers.CharField(source="panel.version.name")
    path = serializers.CharField(help_text="Name of the shard")
    shard = serializers.CharField(source="shard_id", help_text="SHA-256 of the shard")
    row = serializers.IntegerField()


class OptOutOut(serializers.Serializer[Any]):
    """What declares an opt-out, and when that was seen."""

    what = serializers.CharField()
    seen_at = serializers.DateTimeField(allow_null=True)


class LinkOut(PanelRowOut):
    """All that is known of one link."""

    target = serializers.CharField(help_text="Where redirects led at last", allow_blank=True)
    host_failures = serializers.IntegerField(
        source="link.host_failures", help_text="How many of the failures were its whole host's"
    )
    failed_at = serializers.DateTimeField(
        source="link.failed_at", allow_null=True, help_text="The last failure that counted"
    )
    next_check = NextCheckOut()
    opt_out_evidence = OptOutOut(many=True)
    history = CheckOut(many=True, help_text=f"The newest first, {MOST} at most")
    versions = LinkInVersionOut(
        many=True, help_text=f"Of the same organisation, the newest first, {MOST} at most"
    )

    class Meta(PanelRowOut.Meta):
        fields = [
            *PanelRowOut.Meta.fields,
            "target",
            "host_failures",
            "failed_at",
            "next_check",
            "opt_out_evidence",
            "history",
            "versions",
        ]


@extend_schema_view(
    get=extend_schema(operation_id="version_link_rows", summary="The links of a version's panel (staff)")
)
class VersionLinkRows(MembersView[PanelRow], ListAPIView[PanelRow]):
    """The links of a version's panel."""

    serializer_class = PanelRowOut
    filterset_class = PanelRowFilter
    queryset = PanelRow.objects.none()

    def get_queryset(self) -> QuerySet[PanelRow]:
        """Return them."""
        if getattr(self, "swagger_fake_view", False):
            return PanelRow.objects.none()
        return panel_rows(self.request.user, self.version())

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        """Return a page without what is excluded by now."""
        page: list[int] | None = super().paginate_queryset(ids_of(queryset))
        return None if page is None else rows_shown(page)


class LinkDetail(MembersView[PanelRow]):
    """One link of a version's panel."""

    serializer_class = LinkOut
    filter_backends = []

    @extend_schema(
        operation_id="link_detail",
        summary="How one link stands, with its history (staff)",
        responses=LinkOut,
    )
    def get(self, request: Request, link: int, **_address: str) -> Response:
        """Return all that is known; 404 for a link that is not in the version's panel."""
        version = self.version()
        row: Any = version_row(request.user, version, link)
        if row is None:
            raise Http404
        policy = LinkPolicy.objects.filter(dataset=version.dataset).first()
        row.target = link_target(row.link)
        row.next_check = next_check(row.link, policy)
        row.opt_out_evidence = [{"what": what, "seen_at": at} for what, at in opt_out_evidence(row)]
        row.history = link_history(row.link)[:MOST]
        row.versions = link_versions(request.user, row)[:MOST]
        return Response(LinkOut(row).data)
