"""The type of a request behind `login_required`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from registry.accounts.models import User


class SignedIn(HttpRequest):
    """A request whose user signed in; for annotations only, no view makes one."""

    user: User
