"""Slowing down who guesses passwords.

Ten wrong passwords in a quarter of an hour, for one name from one address, and further tries are refused unread
until the oldest is a quarter of an hour old. Name and address are kept only as a keyed digest, for a day.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from registry.accounts.models import FailedSignIn

if TYPE_CHECKING:
    from django.http import HttpRequest

LIMIT = 10
WINDOW = timedelta(minutes=15)
KEPT = timedelta(days=1)


def sign_in_blocked(request: HttpRequest, username: str) -> bool:
    """Whether this name was tried too often from here lately."""
    since = timezone.now() - WINDOW
    return FailedSignIn.objects.filter(key=_key(request, username), at__gte=since).count() >= LIMIT


def sign_in_failed(request: HttpRequest, username: str) -> None:
    """Remember a wrong password, and forget old ones."""
    FailedSignIn.objects.filter(at__lt=timezone.now() - KEPT).delete()
    FailedSignIn.objects.create(key=_key(request, username))


def sign_in_succeeded(request: HttpRequest, username: str) -> None:
    """Forget this name's wrong passwords from here."""
    FailedSignIn.objects.filter(key=_key(request, username)).delete()


def _key(request: HttpRequest, username: str) -> bytes:
    text = f"{username.casefold()}\0{client_address(request)}"
    return hmac.digest(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256)


def client_address(request: HttpRequest) -> str:
    """The address of the client: what the outermost of our own PROXY_COUNT proxies saw."""
    seen = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    if settings.PROXY_COUNT and seen != [""]:
        return seen[-min(settings.PROXY_COUNT, len(seen))].strip()
    return str(request.META.get("REMOTE_ADDR", ""))
