"""Pages: sign in and out, one's account with its API keys, an organisation with its members."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from registry.accounts import services
from registry.accounts.forms import ApiKeyForm, MemberForm, MemberRoleForm, SignInForm
from registry.accounts.models import Role
from registry.accounts.permissions import has_role, organisations_of
from registry.accounts.selectors import member_list, organisation_list
from registry.lib.errors import Refused
from registry.lib.form_page import form_page
from registry.lib.pagination import page_of

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from registry.accounts.models import Organisation
    from registry.accounts.requests import SignedIn


class SignIn(LoginView):
    """Django's own, with our form and words."""

    template_name = "registry/accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        """Members come for their queue; who belongs to no organisation has none."""
        return reverse("queue" if organisations_of(self.request.user).exists() else "home")


sign_in = SignIn.as_view()
sign_out = LogoutView.as_view()


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: SignedIn) -> HttpResponse:
    """One's organisations and keys; POST makes a key, which the answer shows this once."""
    form = ApiKeyForm(request.POST or None)
    secret, status = "", HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.BAD_REQUEST
        if form.is_valid():
            try:
                _, secret = services.api_key_create(actor=request.user, name=form.cleaned_data["name"])
                form, status = ApiKeyForm(), HTTPStatus.OK
            except Refused as refusal:
                form.add_error(None, str(refusal))
                status = HTTPStatus.CONFLICT
    return render(
        request,
        "registry/accounts/account.html",
        {
            "form": form,
            "secret": secret,
            "page": page_of(request, request.user.api_keys.all()),
            "memberships": request.user.memberships.select_related("organisation").order_by(
                "organisation__name"
            ),
        },
        status=status,
    )


@login_required
@require_POST
def api_key_revoke(request: SignedIn, key_id: UUID) -> HttpResponse:
    """End one of one's own keys."""
    key = get_object_or_404(request.user.api_keys, pk=key_id)
    services.api_key_revoke(actor=request.user, key=key)
    messages.success(
        request, f"The key {key.name} ({key.prefix}…) is revoked. Programs that use it get 401 from now on."
    )
    return redirect("account")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def organisation_detail(request: SignedIn, slug: str) -> HttpResponse:
    """The members; POST adds one. Only members know that the page exists."""
    organisation = _organisation(request, slug)
    form = MemberForm(request.POST or None)

    def act() -> HttpResponse:
        member = services.member_add(actor=request.user, organisation=organisation, **form.cleaned_data)
        messages.success(request, f"{member.user} is now {member.role} of {organisation.name}.")
        return redirect("organisation_detail", slug)

    return form_page(
        request,
        "registry/accounts/organisation_detail.html",
        form,
        act,
        organisation=organisation,
        page=page_of(request, member_list(organisation)),
        may_change=has_role(request.user, organisation, Role.MAINTAINER),
        roles=Role.choices,
    )


@login_required
@require_POST
def member_role_change(request: SignedIn, slug: str, member_id: int) -> HttpResponse:
    """Give a member another role."""
    member = get_object_or_404(member_list(_organisation(request, slug)), pk=member_id)
    form = MemberRoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the roles in the list.")
        return redirect("organisation_detail", slug)
    try:
        services.member_role_change(actor=request.user, member=member, role=form.cleaned_data["role"])
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{member.user} is now {member.role}.")
    return redirect("organisation_detail", slug)


@login_required
@require_POST
def member_remove(request: SignedIn, slug: str, member_id: int) -> HttpResponse:
    """End a membership."""
    member = get_object_or_404(member_list(_organisation(request, slug)), pk=member_id)
    try:
        services.member_remove(actor=request.user, member=member)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{member.user} is no longer a member.")
        if member.user_id == request.user.pk:
            return redirect("account")  # the organisation's page is no longer his to see
    return redirect("organisation_detail", slug)


def _organisation(request: SignedIn, slug: str) -> Organisation:
    return get_object_or_404(organisation_list(request.user), slug=slug)
