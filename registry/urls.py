"""Every address of the site.

A package with pages has a `urls.py`: its `urlpatterns` are pages and start at the root, its `api_urlpatterns`, if it
has any, start at `/api/v1/`. The packages are named, not imported, because imports never point from `registry` to
`takedowns`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from django.contrib import admin
from django.urls import include, path

from registry.views import api_docs, api_schema, healthz

if TYPE_CHECKING:
    from django.urls import URLPattern, URLResolver

PACKAGES = [
    "registry.accounts",
    "registry.auditlog",
    "registry.jobs",
    "registry.datasets",
    "registry.links",
    "takedowns.reports",
    "takedowns.removals",
    "takedowns.cases",
    "takedowns.releases",
    "takedowns.lookup",
    "takedowns.transparency",
]

pages: list[URLPattern | URLResolver] = []
api: list[URLPattern | URLResolver] = []
for package in PACKAGES:
    if find_spec(f"{package}.urls"):
        urls = import_module(f"{package}.urls")
        pages += urls.urlpatterns
        api += getattr(urls, "api_urlpatterns", [])

urlpatterns: list[URLPattern | URLResolver] = [
    *pages,
    path("api/v1/", include(api)),
    path("api/schema/", api_schema, name="api-schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
]
