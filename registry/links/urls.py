"""Addresses of the pages on links."""

from __future__ import annotations

from django.urls import path

from registry.links import downloads, host_views, link_views, views
from registry.links.api import acts, figures, hosts, rows
from registry.links.distributions import api as distributions_api
from registry.links.distributions import views as distributions_views
from registry.links.domains import api as domains_api
from registry.links.domains import views as domain_views
from registry.links.opt_outs import views as opt_out_views

_LINKS = "datasets/<slug:slug>/versions/<str:name>/links/"
_PLACES = "datasets/<slug:slug>/versions/<str:name>/distributions/"

urlpatterns = [
    path(_LINKS, views.version_links, name="version_links"),
    path(f"{_LINKS}draw/", views.panel_draw, name="panel_draw"),
    path(f"{_LINKS}budget/", views.links_budget, name="links_budget"),
    path(f"{_LINKS}check/", views.links_check_now, name="links_check_now"),
    path(f"{_LINKS}content/", views.links_content, name="links_content"),
    path(f"{_LINKS}progress/", views.links_progress, name="links_progress"),
    path(f"{_LINKS}pause/", views.links_pause, name="links_pause"),
    path(f"{_LINKS}resume/", views.links_resume, name="links_resume"),
    path(f"{_LINKS}domains/", domain_views.version_link_domains, name="version_link_domains"),
    path(f"{_LINKS}hosts/", host_views.version_link_hosts, name="version_link_hosts"),
    path(f"{_LINKS}rows/", link_views.version_link_rows, name="version_link_rows"),
    path(f"{_LINKS}rows/<int:link>/", link_views.link_detail, name="link_detail"),
    path(f"{_LINKS}rows.csv", downloads.version_link_rows_csv, name="version_link_rows_csv"),
    path(f"{_LINKS}figures.csv", downloads.version_links_csv, name="version_links_csv"),
    path(f"{_LINKS}states.csv", downloads.version_link_states_csv, name="version_link_states_csv"),
    path("hosts/<str:name>/", host_views.host_detail, name="host_detail"),
    path(_PLACES, distributions_views.version_distributions, name="version_distributions"),
    path(f"{_PLACES}add/", distributions_views.distribution_create, name="distribution_create"),
    path(f"{_PLACES}<int:pk>/remove/", distributions_views.distribution_forget, name="distribution_forget"),
    path(
        "datasets/<slug:slug>/distributions/check/",
        distributions_views.distributions_check,
        name="distributions_check",
    ),
    path("hosts/<str:name>/opt-out/", opt_out_views.host_opt_out_page, name="host_opt_out"),
    path("about/links/", opt_out_views.about_links, name="about_links"),
]

api_urlpatterns = [
    path(_LINKS, figures.VersionLinks.as_view(), name="api-version-links"),
    path(f"{_LINKS}rows/", rows.VersionLinkRows.as_view(), name="api-version-link-rows"),
    path(f"{_LINKS}rows/<int:link>/", rows.LinkDetail.as_view(), name="api-link-detail"),
    path(f"{_LINKS}domains/", domains_api.VersionDomains.as_view(), name="api-version-domains"),
    path(f"{_LINKS}domains/rows/", domains_api.VersionDomainRows.as_view(), name="api-version-domain-rows"),
    path(
        "datasets/<slug:slug>/distributions/",
        distributions_api.DatasetDistributions.as_view(),
        name="api-dataset-distributions",
    ),
    path(_PLACES, distributions_api.DistributionCreate.as_view(), name="api-distribution-create"),
    path(
        f"{_PLACES}<int:pk>/",
        distributions_api.DistributionRemove.as_view(),
        name="api-distribution-remove",
    ),
    path(f"{_LINKS}hosts/", hosts.VersionLinkHosts.as_view(), name="api-version-link-hosts"),
    path(
        f"{_LINKS}comparison/",
        figures.VersionLinkComparison.as_view(),
        name="api-version-link-comparison",
    ),
    path("hosts/<str:name>/", hosts.HostDetail.as_view(), name="api-host-detail"),
    path(f"{_LINKS}draw/", acts.PanelDraw.as_view(), name="api-panel-draw"),
    path(f"{_LINKS}check/", acts.LinksCheckNow.as_view(), name="api-links-check-now"),
    path(f"{_LINKS}content/", acts.LinksContent.as_view(), name="api-links-content"),
    path(f"{_LINKS}budget/", acts.LinksBudget.as_view(), name="api-links-budget"),
    path(f"{_LINKS}pause/", acts.LinksPause.as_view(), name="api-links-pause"),
    path(f"{_LINKS}resume/", acts.LinksResume.as_view(), name="api-links-resume"),
]
