"""Addresses of casework and of the reporter's status page."""

from django.urls import path

from takedowns.cases import api, views
from takedowns.cases.links.api import CaseLinks
from takedowns.cases.own_initiative.api import DomainOwnInitiative, OwnInitiative
from takedowns.cases.own_initiative.views import own_initiative, own_initiative_domain

urlpatterns = [
    path("status/<str:token>/", views.status, name="report_status"),
    path(
        "datasets/<slug:slug>/versions/<str:name>/links/cases/<str:finding>/",
        own_initiative,
        name="own_initiative",
    ),
    path(
        "datasets/<slug:slug>/versions/<str:name>/links/domains/<str:domain>/case/",
        own_initiative_domain,
        name="own_initiative_domain",
    ),
    path("queue/", views.queue, name="queue"),
    path("queue/next/", views.case_next, name="case_next"),
    path("cases/<str:number>/", views.case_detail, name="case_detail"),
    path("cases/<str:number>/claim/", views.case_claim, name="case_claim"),
    path("cases/<str:number>/release-claim/", views.case_release_claim, name="case_release_claim"),
    path("cases/<str:number>/locate/", views.case_locate, name="case_locate"),
    path("cases/<str:number>/items/", views.item_mark, name="item_mark"),
    path("cases/<str:number>/propose/", views.case_propose, name="case_propose"),
    path("cases/<str:number>/approve/", views.case_approve, name="case_approve"),
    path("cases/<str:number>/return/", views.case_return, name="case_return"),
    path("cases/<str:number>/merge/", views.case_merge, name="case_merge"),
]

api_urlpatterns = [
    path("reports/status/", api.ReportStatusView.as_view(), name="api-report-status"),
    path("reports/status/items/", api.ReportItems.as_view(), name="api-report-status-items"),
    path("cases/", api.CaseList.as_view(), name="api-case-list"),
    path("cases/next/", api.CaseNext.as_view(), name="api-case-next"),
    path("cases/<str:number>/", api.CaseDetail.as_view(), name="api-case-detail"),
    path("cases/<str:number>/items/", api.CaseItems.as_view(), name="api-case-items"),
    path("cases/<str:number>/items/mark/", api.CaseMark.as_view(), name="api-case-items-mark"),
    path("cases/<str:number>/locations/", api.CaseLocations.as_view(), name="api-case-locations"),
    path("cases/<str:number>/links/", CaseLinks.as_view(), name="api-case-links"),
    path(
        "datasets/<slug:slug>/versions/<str:name>/links/cases/<str:finding>/",
        OwnInitiative.as_view(),
        name="api-own-initiative",
    ),
    path(
        "datasets/<slug:slug>/versions/<str:name>/links/domains/<str:domain>/case/",
        DomainOwnInitiative.as_view(),
        name="api-own-initiative-domain",
    ),
    path("cases/<str:number>/claim/", api.CaseClaim.as_view(), name="api-case-claim"),
    path("cases/<str:number>/locate/", api.CaseLocate.as_view(), name="api-case-locate"),
    path("cases/<str:number>/propose/", api.CasePropose.as_view(), name="api-case-propose"),
    path("cases/<str:number>/approve/", api.CaseApprove.as_view(), name="api-case-approve"),
    path("cases/<str:number>/return/", api.CaseReturn.as_view(), name="api-case-return"),
    path("cases/<str:number>/merge/", api.CaseMerge.as_view(), name="api-case-merge"),
]
