"""API: the jobs of one's organisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import IsAuthenticated

from registry.jobs.filters import JobFilter
from registry.jobs.models import Job
from registry.jobs.selectors import job_list
from registry.jobs.serializers import JobOut

if TYPE_CHECKING:
    from registry.jobs.models import JobQuerySet


@extend_schema_view(
    get=extend_schema(operation_id="job_list", summary="Jobs of your organisations, newest first")
)
class JobList(ListAPIView[Job]):
    """Jobs, newest first."""

    permission_classes = [IsAuthenticated]
    serializer_class = JobOut
    filterset_class = JobFilter
    queryset = Job.objects.none()

    def get_queryset(self) -> JobQuerySet:
        """Return those of the user's organisations."""
        return job_list(self.request.user)


@extend_schema_view(get=extend_schema(operation_id="job_detail", summary="One job with its progress"))
class JobDetail(RetrieveAPIView[Job]):
    """One job."""

    permission_classes = [IsAuthenticated]
    serializer_class = JobOut
    queryset = Job.objects.none()

    def get_queryset(self) -> JobQuerySet:
        """Return those of the user's organisations."""
        return job_list(self.request.user)
