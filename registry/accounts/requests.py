"""Requests of people who signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

from registry.accounts.models import User

if TYPE_CHECKING:
    from rest_framework.request import Request


class SignedIn(HttpRequest):
    """A request whose user signed in; for annotations only, no view makes one."""

    user: User


def signed_in(request: Request) -> User:
    """Who asks, at the API, where the permissions let nobody in who has not signed in."""
    user = request.user
    assert isinstance(user, User)
    return user
