"""What the pages of a version's links have in common: the version in their address, and the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from registry.accounts.permissions import require_role
from registry.datasets.selectors import version_list
from registry.links.selectors import may_read_links

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.accounts.models import Role
    from registry.datasets.models import Version


def version_asked(request: HttpRequest, slug: str, name: str, role: Role | None = None) -> Version:
    """The version, if the reader may see it (else 404). Raises NotAllowed (403) when he lacks the role, whatever he sent."""
    version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
    if role:
        require_role(request.user, version.dataset.organisation, role)
    return version


def links_asked(request: HttpRequest, slug: str, name: str) -> Version:
    """The version, if the reader may be told how its links stand (else 404)."""
    version = version_asked(request, slug, name)
    if not may_read_links(request.user, version):
        raise Http404
    return version


def version_crumbs(version: Version) -> list[tuple[str, str]]:
    """The way to a version, as (text, address)."""
    dataset = version.dataset
    return [
        ("Datasets", reverse("dataset_list")),
        (dataset.name, reverse("dataset_detail", args=[dataset.slug])),
        (version.name, reverse("version_detail", args=[dataset.slug, version.name])),
    ]


def links_crumbs(version: Version) -> list[tuple[str, str]]:
    """The way to the page of a version's links and past it, as (text, address)."""
    address = reverse("version_links", args=[version.dataset.slug, version.name])
    return [*version_crumbs(version), ("Links", address)]
