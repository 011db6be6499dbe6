"""Pages: who asks for links and how to make it stop, and opting a host out by hand."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from registry.lib.errors import NotAllowed, Refused
from registry.lib.form_page import form_page
from registry.lib.throttling import page_wait
from registry.lib.words import counted
from registry.links.opt_outs import files
from registry.links.opt_outs.forms import AskForm, OptOutForm
from registry.links.opt_outs.services import host_opt_out, opt_out_ask

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest, HttpResponse

    from registry.accounts.requests import SignedIn

SCOPE = "opt_outs"


@require_http_methods(["GET", "HEAD", "POST"])
def about_links(request: HttpRequest) -> HttpResponse:
    """Who asks, why, how politely, and how to make us stop: the address that our requests name.

    Who names a host here gets the same answer whether links lead to it or not.
    """
    form = AskForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and (wait := page_wait(request, SCOPE)) is not None:
        form.add_error(
            None,
            f"Many hosts were named from your address. Nothing was done: try again in {counted(wait // 60 + 1, 'minute')}.",
        )
        return render(request, _ABOUT, {"form": form, **_context()}, status=HTTPStatus.TOO_MANY_REQUESTS)

    def act() -> HttpResponse:
        host = form.cleaned_data["host"]
        opt_out_ask(host)
        messages.success(
            request,
            f"Thank you. If links lead to {host}, its robots.txt is read again before anything else is asked of it, and "
            "its opt-out file within the next minutes. Once an hour at most; where no answer comes, again an hour later, for "
            f"three days. How that went stands on {settings.SITE_URL}/hosts/{host}/ once the host has answered.",
        )
        return redirect("about_links")

    return form_page(request, _ABOUT, form, act, **_context())


@login_required
@require_POST
def host_opt_out_page(request: SignedIn, name: str) -> HttpResponse:
    """Opt a host out by hand, as its owner wishes: for operators."""
    form = OptOutForm(request.POST)
    form.is_valid()
    try:
        host = host_opt_out(actor=request.user, name=name, subdomains=form.cleaned_data["subdomains"])
    except NotAllowed:
        raise
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        below = ", and none below it" if host.covers_subdomains else ""
        messages.success(request, f"{host.name} is asked no more{below}.")
    return redirect("host_detail", name)


_ABOUT = "registry/links/about.html"


def _context() -> dict[str, Any]:
    contact: str = settings.LINKS_CONTACT
    return {
        "site_url": settings.SITE_URL,
        "contact": contact,
        "contact_url": f"mailto:{contact}" if "://" not in contact else contact,
        "file": files,
    }
