"""The API for reporting. No account is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from registry.accounts.models import User
from registry.lib.pagination import Pages
from registry.lib.parsers import TooLarge
from takedowns.reports.models import Category
from takedowns.reports.serializers import CategoryOut, ReportIn, ReportOut
from takedowns.reports.services import report_create
from takedowns.reports.throttling import SCOPE
from takedowns.reports.upload import MAX_BYTES

if TYPE_CHECKING:
    from rest_framework.request import Request


class ReportCreate(APIView):
    """Take a report in."""

    permission_classes = [AllowAny]
    json_max_bytes = MAX_BYTES
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = SCOPE

    @extend_schema(
        operation_id="report_create",
        summary="Report rows that must go",
        description="At most 100,000 items. The answer holds the secret of the status page, which is shown this once.",
        request=ReportIn,
        responses={
            201: ReportOut,
            400: OpenApiResponse(description="A field is missing or wrong"),
            409: OpenApiResponse(
                description="Not taken: the category is not taken here, or no item can be read"
            ),
            413: OpenApiResponse(description="The body is too large"),
            429: OpenApiResponse(description="Too many reports from one address"),
        },
    )
    def post(self, request: Request) -> Response:
        """Report rows that must go."""
        # Multipart too: a file has limits of its own, but a report with several is one body.
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
            raise TooLarge(
                f"A report is at most {MAX_BYTES // 1024**2} MB. Split it and send the parts one after the other."
            )
        given = ReportIn(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        data: dict[str, Any] = given.validated_data
        report, secret = report_create(
            actor=request.user if isinstance(request.user, User) else None,
            dataset=data["dataset"],
            category=data["category"],
            description=data["description"],
            lines=data["lines"],
            file_lines=data["file_lines"],
            versions=data["versions"],
            contact_name=data.get("contact_name", ""),
            contact_email=data.get("contact_email", ""),
        )
        answer = {
            "number": report.number,
            "secret": secret,
            "status_url": settings.SITE_URL + reverse("report_status", args=[secret]),
            "created_at": report.created_at,
            "due_at": report.due_at,
            "items_total": report.items_total,
            "items_readable": report.items_readable,
        }
        return Response(
            ReportOut(answer).data, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"}
        )


class CategoryList(generics.ListAPIView[Category]):
    """The categories that a report can have."""

    permission_classes = [AllowAny]
    serializer_class = CategoryOut
    pagination_class = Pages
    queryset = Category.objects.all()

    @extend_schema(operation_id="category_list", summary="Categories of reports")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the categories of reports, with what each is for."""
        return super().get(request, *args, **kwargs)
