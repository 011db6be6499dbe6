"""Addresses of downloads, of the acts on a release, and of releases at the API."""

from django.urls import path

from takedowns.releases import api, views

_RELEASE = "datasets/<slug:slug>/releases/<str:name>"
_VERSION = "datasets/<slug:slug>/versions/<str:name>"

urlpatterns = [
    path(f"{_RELEASE}/files/<path:path>", views.release_file_view, name="release_file"),
    path(f"{_RELEASE}/files.txt", views.release_urls, name="release_urls"),
    path(f"{_RELEASE}/keys/<str:key>", views.release_key, name="release_key"),
    path(f"{_VERSION}/release/", views.release_create, name="release_create"),
    path(f"{_RELEASE}/publish/", views.release_publish, name="release_publish"),
]

api_urlpatterns = [
    path("datasets/<slug:slug>/releases/", api.ReleaseList.as_view(), name="api-release-list"),
    path(f"{_RELEASE}/", api.ReleaseDetail.as_view(), name="api-release-detail"),
    path(f"{_RELEASE}/files/", api.ReleaseFiles.as_view(), name="api-release-files"),
    path(f"{_VERSION}/release/", api.ReleaseBuild.as_view(), name="api-release-build"),
    path(f"{_RELEASE}/publish/", api.ReleasePublish.as_view(), name="api-release-publish"),
]
