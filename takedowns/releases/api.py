"""Releases at the API: read them, list their files, build and publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.accounts.requests import signed_in
from registry.datasets.models import Dataset
from registry.datasets.selectors import version_list
from registry.lib.pagination import Pages
from takedowns.releases import services
from takedowns.releases.files import release_files
from takedowns.releases.models import Release
from takedowns.releases.selectors import release_list
from takedowns.releases.serializers import BuildIn, PublishIn, ReleaseFileOut, ReleaseOut

if TYPE_CHECKING:
    from rest_framework.request import Request

    from takedowns.releases.models import ReleaseQuerySet

ABSENT = {404: OpenApiResponse(description="There is none, or you may not know of it")}
REFUSED = ABSENT | {
    403: OpenApiResponse(description="This takes a maintainer of the dataset"),
    409: OpenApiResponse(description="Not possible now; `detail` says why"),
}


class ReleaseList(generics.ListAPIView[Release]):
    """The releases of a dataset."""

    permission_classes = [AllowAny]
    serializer_class = ReleaseOut
    pagination_class = Pages
    queryset = Release.objects.none()

    def get_queryset(self) -> ReleaseQuerySet:
        """Those that the caller may see, newest first."""
        slug = self.kwargs["slug"]
        if not Dataset.objects.visible_to(self.request.user).filter(slug=slug).exists():
            raise NotFound
        return release_list(self.request.user).filter(dataset__slug=slug).prefetch_related("removals")

    @extend_schema(
        operation_id="release_list",
        summary="Releases of a dataset, newest first",
        responses=ReleaseOut(many=True),
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the releases of a dataset."""
        return super().get(request, *args, **kwargs)


class ReleaseView(APIView):
    """What all views of one release share."""

    permission_classes = [AllowAny]

    def release(self, slug: str, name: str) -> Release:
        """Return the release, or answer 404 to whoever may not know of it."""
        seen = release_list(self.request.user).prefetch_related("removals")
        found = seen.filter(dataset__slug=slug, version__name=name).first()
        if found is None:
            raise NotFound
        return found


class ReleaseDetail(ReleaseView):
    """One release."""

    @extend_schema(
        operation_id="release_retrieve", summary="One release", responses={200: ReleaseOut} | ABSENT
    )
    def get(self, request: Request, slug: str, name: str) -> Response:  # noqa: ARG002  -- the signature of a view
        """Return a release by the name of its version."""
        return Response(ReleaseOut(self.release(slug, name)).data)


class ReleaseFiles(ReleaseView):
    """The files of a release."""

    pagination_class = Pages

    @extend_schema(
        operation_id="release_file_list",
        summary="Files of a release, with their digests and addresses",
        responses={200: ReleaseFileOut(many=True)} | ABSENT,
    )
    def get(self, request: Request, slug: str, name: str) -> Response:
        """List the files: the small ones first, then the shards."""
        files = release_files(self.release(slug, name))
        pages = self.pagination_class()
        page: Any = pages.paginate_queryset(files, request)
        rows = [
            {
                "path": file.path,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "url": request.build_absolute_uri(reverse("release_file", args=[slug, name, file.path])),
            }
            for file in page
        ]
        return pages.get_paginated_response(ReleaseFileOut(rows, many=True).data)


class ReleaseBuild(ReleaseView):
    """Build a release."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="release_build",
        summary="Build the clean release of an imported version",
        request=BuildIn,
        responses={202: ReleaseOut} | REFUSED,
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Start the build; the release's state says when it has ended. Nothing is public before it is published."""
        base = version_list(request.user).filter(dataset__slug=slug, name=name).first()
        if base is None:
            raise NotFound
        body = BuildIn(data=request.data)
        body.is_valid(raise_exception=True)
        release = services.release_build(
            actor=signed_in(request), base=base, form=body.validated_data["form"]
        )
        answer = self.release(slug, release.version.name)
        return Response(ReleaseOut(answer).data, status=status.HTTP_202_ACCEPTED)


class ReleasePublish(ReleaseView):
    """Publish a release."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="release_publish",
        summary="Publish a verified release",
        request=PublishIn,
        responses={202: ReleaseOut} | REFUSED,
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Start publishing: every byte is checked once more, and the state is `published` when that has ended."""
        body = PublishIn(data=request.data)
        body.is_valid(raise_exception=True)
        release = self.release(slug, name)
        services.release_publish_start(
            actor=signed_in(request), release=release, root=body.validated_data.get("root", "")
        )
        return Response(ReleaseOut(self.release(slug, name)).data, status=status.HTTP_202_ACCEPTED)
