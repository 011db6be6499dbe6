"""Downloads of a release, and the acts of building and publishing one. The page of a release is in `transparency`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from registry.datasets.selectors import version_list
from registry.lib.errors import NotAllowed, Refused
from takedowns.releases import services
from takedowns.releases.downloads import file_response
from takedowns.releases.files import release_file, release_files
from takedowns.releases.forms import BuildForm, PublishForm
from takedowns.releases.models import ReleaseState
from takedowns.releases.selectors import release_list
from takedowns.releases.signatures import public_file

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from registry.accounts.requests import SignedIn
    from takedowns.releases.models import Release

BUILT = (ReleaseState.VERIFIED, ReleaseState.PUBLISHED)


@require_safe
def release_file_view(request: HttpRequest, slug: str, name: str, path: str) -> HttpResponseBase:
    """Download one file: anybody, once the release is published; its members as soon as it is verified."""
    release = _built(request, slug, name)
    file = release_file(release, path)
    if file is None or not file.location.is_file():
        raise Http404
    return file_response(request, file, public=release.state == ReleaseState.PUBLISHED)


@require_safe
def release_urls(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """List the addresses of all files, one a line, as `wget --input-file` reads them."""
    release = _built(request, slug, name)
    lines = [
        request.build_absolute_uri(reverse("release_file", args=[slug, name, file.path]))
        for file in release_files(release)
    ]
    return HttpResponse("".join(f"{line}\n" for line in lines), content_type="text/plain; charset=utf-8")


@require_safe
def release_key(request: HttpRequest, slug: str, name: str, key: str) -> HttpResponse:
    """Download a public key that the release is signed with: `minisign.pub` or `oms.pub`."""
    content = public_file(_built(request, slug, name), key)
    if content is None:
        raise Http404
    return HttpResponse(
        content,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{key}"'},
    )


@login_required
@require_POST
def release_create(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Build a release of an imported version; leads to its page, which shows the progress."""
    base = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
    form = BuildForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was built: choose the compact or the aligned form.")
        return redirect("version_detail", slug, name)
    try:
        release = services.release_build(actor=request.user, base=base, form=form.cleaned_data["form"])
    except NotAllowed:
        raise
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("version_detail", slug, name)
    messages.success(request, f"{release.version} is being built. Nothing is public before you publish it.")
    return redirect("release_detail", slug, release.version.name)


@login_required
@require_POST
def release_publish(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Publish the release that the person looked at; leads back to its page, which shows the progress."""
    release = get_object_or_404(release_list(request.user), dataset__slug=slug, version__name=name)
    form = PublishForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The root is too long to be one.", status=HTTPStatus.BAD_REQUEST)
    try:
        services.release_publish_start(actor=request.user, release=release, root=form.cleaned_data["root"])
    except NotAllowed:
        raise
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, "Every byte is being checked once more. The release is public when that has ended."
        )
    return redirect("release_detail", slug, name)


def _built(request: HttpRequest, slug: str, name: str) -> Release:
    """Return a release whose files exist, or raise 404 for whoever may not know of it."""
    seen = release_list(request.user).filter(state__in=BUILT)
    return get_object_or_404(seen, dataset__slug=slug, version__name=name)
