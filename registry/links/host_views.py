"""Pages: what is known of a host, and every host of a version's links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry.accounts.models import Role, User
from registry.lib.pagination import page_of
from registry.links.domains.page import cases_about
from registry.links.filters import HOSTS, HostFilter
from registry.links.hosts import host_facts, host_versions, hosts_count, version_hosts
from registry.links.opt_outs.files import PATH
from registry.links.opt_outs.forms import OptOutForm
from registry.links.opt_outs.services import may_opt_out, opt_out_until
from registry.links.pages import links_crumbs, version_asked

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.hooks import WorkedOn
    from registry.links.hosts import HostInVersion
    from registry.links.models import Host


@require_safe
def host_detail(request: HttpRequest, name: str) -> HttpResponse:
    """How a host is asked and what it answered; where its links stand in whose versions is for members."""
    facts = host_facts(request.user, name)
    if facts is None:
        raise Http404
    versions = page_of(request, host_versions(request.user, facts.host))
    return render(
        request,
        "registry/links/host_detail.html",
        {
            "facts": facts,
            "host": facts.host,
            "opt_out_form": OptOutForm() if _offers_opt_out(request, facts.host) else None,
            "opt_out_until": opt_out_until(facts.host),
            "opt_out_path": PATH,
            "versions": versions,
            "version_rows": [(one, _case_about(one)) for one in versions],
        },
    )


def _offers_opt_out(request: HttpRequest, host: Host) -> bool:
    """Whether the reader may opt the host out, and that would change anything."""
    user = request.user
    return not host.covers_subdomains and isinstance(user, User) and may_opt_out(user)


def _case_about(one: HostInVersion) -> WorkedOn | None:
    """The case about the version's dataset that names the host's domain, where that is gone or changed hands."""
    return cases_about(one.version, [one.domain]).get(one.domain) if one.domain else None


@require_safe
@login_required
def version_link_hosts(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Every host of the version's sample, worst first, for members."""
    version = version_asked(request, slug, name, Role.STAFF)
    everything = version_hosts(request.user, version)
    found = HostFilter(request.GET, everything)
    current = request.GET.get("with") or ""
    filtered, total = bool(request.GET.get("q") or current), hosts_count(request.user, version)
    return render(
        request,
        "registry/links/version_hosts.html",
        {
            "version": version,
            "dataset": version.dataset,
            "page": page_of(
                request,
                found.qs if found.is_valid() else everything.none(),
                count=None if filtered else total,
            ),
            "total": total,
            "chips": [
                {"text": text, "url": f"?with={value}" if value else "?", "current": value == current}
                for value, text in HOSTS
            ],
            "filtered": filtered,
            "crumbs": links_crumbs(version),
        },
    )
