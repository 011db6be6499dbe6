"""What the pages of this package ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from registry.accounts.models import Role
from registry.accounts.sign_in import sign_in_blocked, sign_in_failed, sign_in_succeeded

if TYPE_CHECKING:
    from django.http import HttpRequest


class SignInForm(AuthenticationForm):
    """Name and password; refuses to look when too many wrong ones came before."""

    request: HttpRequest
    error_messages = {
        "invalid_login": "The name and password do not go together. Both are case-sensitive.",
        "inactive": "This account is closed.",
        "blocked": "Too many wrong passwords for this name. Try again in 15 minutes.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].error_messages["required"] = "Give the name that you sign in with."
        self.fields["password"].error_messages["required"] = "Give your password."

    def clean(self) -> dict[str, Any]:
        """Check the password unless blocked, and keep count of wrong ones."""
        username = self.cleaned_data.get("username") or ""
        if sign_in_blocked(self.request, username):
            raise forms.ValidationError(self.error_messages["blocked"], code="blocked")
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            sign_in_failed(self.request, username)
            raise
        sign_in_succeeded(self.request, username)
        return cleaned


class ApiKeyForm(forms.Form):
    """A name for a new key."""

    name = forms.CharField(
        label="Which program will use the key?",
        max_length=100,
        help_text="So that you know later which key to revoke.",
        error_messages={"required": "Name the program that will use the key."},
    )


class MemberForm(forms.Form):
    """A user to add, with a role."""

    username = forms.CharField(
        label="Who?",
        max_length=150,
        help_text="The name the user signs in with.",
        error_messages={"required": "Give the name that the user signs in with."},
    )
    role = forms.ChoiceField(
        label="In which role?",
        choices=Role.choices,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a role."},
    )


class MemberRoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(label="Role", choices=Role.choices)
