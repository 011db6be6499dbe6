"""A page with a form: shown, sent, shown again with what is wrong or refused, or done."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.shortcuts import render

from registry.lib.errors import NotAllowed, Refused
from registry.lib.uploads import check_upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from django import forms
    from django.http import HttpRequest, HttpResponse


def form_page(
    request: HttpRequest,
    template: str,
    form: forms.Form,
    act: Callable[[], HttpResponse],
    **context: Any,
) -> HttpResponse:
    """Answer a request for the page of `form`, which is bound when the request is a POST.

    `act` does what a valid form asks and says where to go next. What is wrong (400) or refused (403, 409) is said in the
    form, with all that was entered; the template gets `form` and the `context`.
    """
    status = HTTPStatus.OK
    if request.method == "POST":
        try:
            check_upload(request)
            if form.is_valid():
                return act()
            status = HTTPStatus.BAD_REQUEST
        except Refused as refusal:
            form.add_error(None, str(refusal))
            status = HTTPStatus.FORBIDDEN if isinstance(refusal, NotAllowed) else HTTPStatus.CONFLICT
    return render(request, template, {"form": form, **context}, status=status)
