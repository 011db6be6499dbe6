"""Why a service would not do what was asked. Pages and the API turn these into answers."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied


class Refused(Exception):  # noqa: N818  -- an answer to a person, worded as one, not a fault of the program
    """What was asked cannot be done now; the message says why, what was kept and what to do. HTTP 409."""


class NotAllowed(Refused, PermissionDenied):
    """The actor's role does not reach this; HTTP 403. For what he may not know of, answer 404 instead."""
