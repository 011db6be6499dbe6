"""API: what a maintainer does about the links of a version."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from registry.accounts.models import Role
from registry.accounts.requests import signed_in
from registry.jobs.serializers import JobOut
from registry.links import panel, services
from registry.links.api.versions import MembersView
from registry.links.content.selectors import content_consequence
from registry.links.content.states import ContentChecks
from registry.links.models import LinkPolicy

if TYPE_CHECKING:
    from rest_framework.request import Request


class DrawIn(serializers.Serializer[Any]):
    """How many links to draw."""

    size = serializers.IntegerField(min_value=1, max_value=panel.MAX_SIZE, help_text="Links at most")


class BudgetIn(serializers.Serializer[Any]):
    """How many links of a dataset are checked a day at most, over all its versions."""

    daily_budget = serializers.IntegerField(
        min_value=1, max_value=services.MAX_BUDGET, help_text="Links a day, counted from midnight UTC"
    )


class CheckNowOut(serializers.Serializer[Any]):
    """How many links come first now, and how many do not, because they were checked within the last hour."""

    links = serializers.IntegerField()
    recent = serializers.IntegerField()


class PolicyOut(serializers.ModelSerializer[LinkPolicy]):
    """How a dataset's links are checked."""

    dataset = serializers.CharField(source="dataset.slug", read_only=True)

    class Meta:
        model = LinkPolicy
        fields = ["dataset", "daily_budget", "paused_at", "content"]


class ContentIn(serializers.Serializer[Any]):
    """How far content is read."""

    content = serializers.ChoiceField(choices=ContentChecks.choices)
    links = serializers.IntegerField(min_value=0, help_text="How many it concerns, as was read before")


class ContentOut(serializers.Serializer[Any]):
    """How far content is read, and what that concerns: distinct links in the dataset's panels."""

    content = serializers.ChoiceField(choices=ContentChecks.choices)
    links = serializers.IntegerField()
    hosts = serializers.IntegerField()
    versions = serializers.IntegerField()


class _Act(MembersView[Any]):
    role = Role.MAINTAINER


class PanelDraw(_Act):
    """Draw the links to check."""

    serializer_class = DrawIn

    @extend_schema(
        operation_id="panel_draw",
        summary="Draw the links of a version to check (maintainer)",
        request=DrawIn,
        responses={202: JobOut},
        examples=[OpenApiExample("Ten thousand links", value={"size": 10000}, request_only=True)],
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Start drawing; the answer is the job."""
        version = self.version()
        given = DrawIn(data=request.data)
        given.is_valid(raise_exception=True)
        job = panel.panel_draw(actor=signed_in(request), version=version, size=given.validated_data["size"])
        return Response(JobOut(job).data, status=HTTP_202_ACCEPTED)


class LinksCheckNow(_Act):
    """Let the links of a version come first."""

    serializer_class = CheckNowOut

    @extend_schema(
        operation_id="links_check_now",
        summary="Check the links of a version's panel now (maintainer)",
        request=None,
        responses=CheckNowOut,
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Let them come first; `waiting` of the figures falls to 0 as they are checked."""
        version = self.version()
        hurried = services.links_check_now(actor=signed_in(request), version=version)
        return Response(CheckNowOut(hurried._asdict()).data)


class LinksPause(_Act):
    """Check no more links of the version's dataset."""

    serializer_class = PolicyOut

    @extend_schema(
        operation_id="links_pause",
        summary="Pause the checks of the version's dataset (maintainer)",
        request=None,
        responses=PolicyOut,
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Hand out no more of them; a batch under way ends."""
        version = self.version()
        policy = services.links_pause(actor=signed_in(request), dataset=version.dataset)
        return Response(PolicyOut(policy).data)


class LinksResume(_Act):
    """Check links of the version's dataset again."""

    serializer_class = PolicyOut

    @extend_schema(
        operation_id="links_resume",
        summary="Resume the checks of the version's dataset (maintainer)",
        request=None,
        responses=PolicyOut,
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Hand them out again, the longest due first."""
        version = self.version()
        policy = services.links_resume(actor=signed_in(request), dataset=version.dataset)
        return Response(PolicyOut(policy).data)


class LinksBudget(_Act):
    """How many links of the version's dataset are checked a day."""

    serializer_class = BudgetIn

    @extend_schema(
        operation_id="links_budget",
        summary="Set how many links of the version's dataset are checked a day (maintainer)",
        request=BudgetIn,
        responses=PolicyOut,
        examples=[OpenApiExample("Five thousand a day", value={"daily_budget": 5000}, request_only=True)],
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Set it; what was checked today counts."""
        version = self.version()
        given = BudgetIn(data=request.data)
        given.is_valid(raise_exception=True)
        policy = services.links_budget(
            actor=signed_in(request),
            dataset=version.dataset,
            daily_budget=given.validated_data["daily_budget"],
        )
        return Response(PolicyOut(policy).data)


class LinksContent(_Act):
    """How far the content of the links of the version's dataset is read."""

    serializer_class = ContentIn

    @extend_schema(
        operation_id="links_content",
        summary="How far content of the version's dataset is read (maintainer)",
        responses=ContentOut,
    )
    def get(self, _request: Request, **_address: str) -> Response:
        """Return it with what turning it on concerns."""
        version = self.version()
        policy = LinkPolicy.objects.filter(dataset=version.dataset).first()
        concerned = asdict(content_consequence(version.dataset))
        return Response(ContentOut({"content": policy.content if policy else "off", **concerned}).data)

    @extend_schema(
        operation_id="links_content_change",
        summary="Read content of the version's dataset, or no longer (maintainer)",
        request=ContentIn,
        responses=PolicyOut,
        examples=[
            OpenApiExample(
                "Compare bytes, with `links` as GET gave it",
                value={"content": "bytes", "links": 318},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Change it; refused (409) when the links changed since they were read."""
        version = self.version()
        given = ContentIn(data=request.data)
        given.is_valid(raise_exception=True)
        policy = services.links_content(
            actor=signed_in(request),
            dataset=version.dataset,
            checks=ContentChecks(given.validated_data["content"]),
            links=given.validated_data["links"],
        )
        return Response(PolicyOut(policy).data)
