"""Addresses of the pages on links."""

from __future__ import annotations

from django.urls import path

from registry.links import api, views

_LINKS = "datasets/<slug:slug>/versions/<str:name>/links/"

urlpatterns = [
    path(_LINKS, views.version_links, name="version_links"),
    path(f"{_LINKS}draw/", views.panel_draw, name="panel_draw"),
    path(f"{_LINKS}budget/", views.links_budget, name="links_budget"),
    path(f"{_LINKS}check/", views.links_check_now, name="links_check_now"),
    path(f"{_LINKS}pause/", views.links_pause, name="links_pause"),
    path(f"{_LINKS}resume/", views.links_resume, name="links_resume"),
    path("about/links/", views.about_links, name="about_links"),
]

api_urlpatterns = [
    path(_LINKS, api.VersionLinks.as_view(), name="api-version-links"),
    path(f"{_LINKS}rows/", api.VersionLinkRows.as_view(), name="api-version-link-rows"),
]
