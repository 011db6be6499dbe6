"""Addresses of the pages that write; `datasets/new/` comes before `datasets/<slug>/` of the packages above."""

from __future__ import annotations

from django.urls import path

from registry.datasets import api, views

urlpatterns = [
    path("datasets/new/", views.dataset_create, name="dataset_create"),
    path("datasets/<slug:slug>/versions/new/", views.version_create, name="version_create"),
    path("datasets/<slug:slug>/versions/<str:name>/retry/", views.version_retry, name="version_retry"),
    path("datasets/<slug:slug>/lineage/new/", views.lineage_create, name="lineage_create"),
]

api_urlpatterns = [
    path("datasets/", api.DatasetList.as_view(), name="api-dataset-list"),
    path("datasets/<slug:slug>/", api.DatasetDetail.as_view(), name="api-dataset-detail"),
    path("datasets/<slug:slug>/versions/", api.VersionList.as_view(), name="api-version-list"),
    path("datasets/<slug:slug>/versions/<str:name>/", api.VersionDetail.as_view(), name="api-version-detail"),
    path(
        "datasets/<slug:slug>/versions/<str:name>/ingest/",
        api.VersionIngest.as_view(),
        name="api-version-ingest",
    ),
    path(
        "datasets/<slug:slug>/versions/<str:name>/shards/",
        api.VersionShards.as_view(),
        name="api-version-shards",
    ),
    path("lineage/", api.LineageList.as_view(), name="api-lineage-list"),
    path("shards/<str:digest>/", api.ShardDetail.as_view(), name="api-shard-detail"),
]
