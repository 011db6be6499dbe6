"""Addresses of accounts."""

from __future__ import annotations

from django.urls import path

from registry.accounts import api, views

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("account/", views.account, name="account"),
    path("account/keys/<uuid:key_id>/revoke/", views.api_key_revoke, name="api_key_revoke"),
    path("organisations/<slug:slug>/", views.organisation_detail, name="organisation_detail"),
    path(
        "organisations/<slug:slug>/members/<int:member_id>/role/",
        views.member_role_change,
        name="member_role_change",
    ),
    path(
        "organisations/<slug:slug>/members/<int:member_id>/remove/", views.member_remove, name="member_remove"
    ),
]

api_urlpatterns = [
    path("me/", api.Me.as_view(), name="api-me"),
    path("organisations/", api.OrganisationList.as_view(), name="api-organisation-list"),
    path("organisations/<slug:slug>/members/", api.MemberList.as_view(), name="api-member-list"),
]
