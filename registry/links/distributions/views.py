"""Pages: where the versions of a dataset are served, and what its maintainer does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry.accounts.models import Role
from registry.accounts.permissions import has_role, require_role
from registry.datasets.models import Dataset
from registry.lib.errors import Refused
from registry.lib.form_page import form_page
from registry.lib.words import counted
from registry.links.distributions.models import DistributionKind
from registry.links.distributions.selectors import places, warnings
from registry.links.distributions.services import (
    distribution_add,
    distribution_remove,
    distributions_check_now,
)
from registry.links.pages import version_asked, version_crumbs
from registry.links.states import LinkState

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Version, Viewer
    from registry.links.distributions.selectors import Place

_PAGE = "registry/links/version_distributions.html"
# What a state means for a place: label, and how it looks.
WORDS = {
    LinkState.UNCHECKED: ("Not checked yet", "neutral"),
    LinkState.ALIVE: ("Served", "neutral"),
    LinkState.MOVED: ("Served, from another site", "neutral"),
    LinkState.FAILING: ("Fails for now", "attention"),
    LinkState.DEAD: ("No longer served", "neutral"),
    LinkState.DOMAIN_GONE: ("No longer served: domain gone", "neutral"),
    LinkState.UNVERIFIABLE: ("Cannot be told", "neutral"),
}
WAS_SERVED = ("Cannot be told; still served when it last could", "attention")


class DistributionForm(forms.Form):
    """One place that serves a version."""

    url = forms.CharField(
        label="Address",
        max_length=8_000,
        help_text="Of a file or page that serves this version, http or https.",
    )
    kind = forms.ChoiceField(label="Who serves it", choices=DistributionKind.choices)
    digest = forms.CharField(
        label="What it should serve",
        required=False,
        max_length=64,
        help_text="SHA-256 of a shard, or the version's root. Leave it empty if it serves something else.",
    )


@require_safe
def version_distributions(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Where one version is served, and whether it still is."""
    version = version_asked(request, slug, name)
    return render(request, _PAGE, _context(request.user, version) | {"form": DistributionForm()})


@login_required
@require_http_methods(["POST"])
def distribution_create(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Watch one more place."""
    version = version_asked(request, slug, name, Role.MAINTAINER)
    form = DistributionForm(request.POST)

    def act() -> HttpResponse:
        distribution_add(
            actor=request.user,
            version=version,
            url=form.cleaned_data["url"],
            kind=DistributionKind(form.cleaned_data["kind"]),
            digest=form.cleaned_data["digest"],
        )
        messages.success(request, "This place is watched from now on; its first check comes next.")
        return _back(version)

    return form_page(request, _PAGE, form, act, **_context(request.user, version))


@login_required
@require_POST
def distribution_forget(request: SignedIn, slug: str, name: str, pk: int) -> HttpResponse:
    """Watch a place no longer."""
    version = version_asked(request, slug, name)
    distribution = get_object_or_404(version.distributions, pk=pk)
    distribution_remove(actor=request.user, distribution=distribution)
    messages.success(request, "This place is not watched any more.")
    return _back(version)


@login_required
@require_POST
def distributions_check(request: SignedIn, slug: str) -> HttpResponse:
    """Let the places of a dataset come first."""
    dataset = get_object_or_404(Dataset.objects.visible_to(request.user), slug=slug)
    require_role(request.user, dataset.organisation, Role.MAINTAINER)
    try:
        count = distributions_check_now(actor=request.user, dataset=dataset)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{counted(count, 'place comes', 'places come')} first now.")
    return redirect("dataset_detail", dataset.slug)


def distributions_context(user: Viewer, dataset: Dataset) -> dict[str, Any]:
    """The context of the fragment `_distributions.html` on a dataset's page."""
    found = places(user, dataset)
    return {"places": _told(found), "place_warnings": warnings(found)}


def _context(user: Viewer, version: Version) -> dict[str, Any]:
    dataset = version.dataset
    found = places(user, dataset, version)
    return {
        "version": version,
        "dataset": dataset,
        "places": _told(found),
        "place_warnings": warnings(found),
        "may_write": has_role(user, dataset.organisation, Role.MAINTAINER),
        "is_member": has_role(user, dataset.organisation, Role.STAFF),
        "crumbs": version_crumbs(version),
    }


def _told(found: list[Place]) -> list[tuple[Place, str, str]]:
    """Each place with the words for its state and how they look: what should not be served is a danger."""
    return [(one, *_words(one)) for one in found]


def _words(place: Place) -> tuple[str, str]:
    words, meaning = WAS_SERVED if place.was_served else WORDS[place.state]
    return words, "danger" if place.is_flagged else meaning


def _back(version: Version) -> HttpResponse:
    return redirect("version_distributions", version.dataset.slug, version.name)
