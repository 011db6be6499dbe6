"""Addresses of advisories at the API; their pages are in `transparency`."""

from django.urls import URLPattern, path

from takedowns.removals import api

urlpatterns: list[URLPattern] = []

api_urlpatterns = [
    path("advisories/", api.AdvisoryList.as_view(), name="api-advisory-list"),
    path("advisories/<str:advisory_id>/", api.AdvisoryDetail.as_view(), name="api-advisory-detail"),
]
