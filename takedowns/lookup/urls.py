"""Addresses of the home page and search."""

from django.urls import path

from takedowns.lookup import api, views

urlpatterns = [
    path("", views.home, name="home"),
    path("search/", views.search_page, name="search"),
]

api_urlpatterns = [
    path("search/", api.Search.as_view(), name="api-search"),
    path("query", api.Query.as_view(), name="api-query"),
]
