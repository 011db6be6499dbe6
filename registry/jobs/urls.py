"""Addresses of jobs."""

from __future__ import annotations

from django.urls import path

from registry.jobs import api, views

urlpatterns = [
    path("jobs/", views.job_list, name="job_list"),
    path("jobs/<uuid:job_id>/", views.job_detail, name="job_detail"),
    path("jobs/<uuid:job_id>/progress/", views.job_progress, name="job_progress"),
]

api_urlpatterns = [
    path("jobs/", api.JobList.as_view(), name="api-job-list"),
    path("jobs/<uuid:pk>/", api.JobDetail.as_view(), name="api-job-detail"),
]
