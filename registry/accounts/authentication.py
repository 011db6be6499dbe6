"""How a program signs in to the API: `Authorization: Bearer exp_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from registry.accounts.models import ApiKey
from registry.lib.ids import secret_digest

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from rest_framework.request import Request

    from registry.accounts.models import User

KEY_PREFIX = "exp_"
# One UPDATE a request would make a busy key's row the slowest thing of the API.
LAST_USED_STEP = timedelta(minutes=1)


class ApiKeyAuthentication(BaseAuthentication):
    """The owner of a key that is not revoked, as long as he may sign in himself."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """Return (user, key), or None when the request brings no Bearer header. Raises AuthenticationFailed."""
        scheme, _, sent = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        digest = secret_digest(sent.strip().decode("latin-1"))
        key = ApiKey.objects.select_related("user").filter(digest=digest, revoked_at=None).first()
        if key is None or not key.user.is_active:
            raise AuthenticationFailed("This API key does not exist or was revoked.")
        now = timezone.now()
        ApiKey.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP), pk=key.pk
        ).update(last_used_at=now)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  -- REST framework's signature
        """Tell a client that gets 401 how to sign in."""
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its base has no annotations
    """The key in the description of the API."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:  # noqa: ARG002  -- its signature
        """Describe the header as OpenAPI wants it."""
        return {"type": "http", "scheme": "bearer", "description": "A key of your account page, exp_…"}
