"""Addresses of reporting."""

from django.urls import path

from takedowns.reports import api, views

urlpatterns = [
    path("report/", views.report_create_page, name="report_create"),
    path("report/received/<str:token>/", views.report_received, name="report_received"),
]

api_urlpatterns = [
    path("reports/", api.ReportCreate.as_view(), name="api-report-create"),
    path("categories/", api.CategoryList.as_view(), name="api-category-list"),
]
