"""Addresses of the public pages."""

from django.urls import path

from takedowns.transparency import api, views

urlpatterns = [
    path("datasets/", views.dataset_list, name="dataset_list"),
    path("datasets/<slug:slug>/", views.dataset_detail, name="dataset_detail"),
    path("datasets/<slug:slug>/versions/<str:name>/", views.version_detail, name="version_detail"),
    path("datasets/<slug:slug>/releases/<str:name>/", views.release_detail, name="release_detail"),
    path("advisories/", views.advisories, name="advisory_list"),
    path("advisories/<str:advisory_id>/", views.advisory_detail, name="advisory_detail"),
    path("transparency/", views.transparency, name="transparency"),
    path("transparency/by-month.csv", views.transparency_csv, name="transparency_csv"),
]

api_urlpatterns = [
    path("statistics/", api.Statistics.as_view(), name="api-statistics"),
]
