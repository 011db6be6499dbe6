"""What owners of hosts, and those who act for them, are asked for."""

from __future__ import annotations

from django import forms

from expunge.keys import url_host

MAX_NAME = 253  # characters, as many as DNS knows


class AskForm(forms.Form):
    """Which host's robots.txt and opt-out file are to be read."""

    host = forms.CharField(
        max_length=500,
        label="Your host",
        help_text="As it stands in the address of your site: img.example.com.",
    )

    def clean_host(self) -> str:
        """The host, by its name as in the key `host.c1`; the address of a page on it will do."""
        given: str = self.cleaned_data["host"]
        name = url_host(given if "://" in given else f"https://{given}/")
        if name is None or len(name) > MAX_NAME:
            raise forms.ValidationError("This is no name of a host. One looks like img.example.com.")
        return name.removesuffix(".")


class OptOutForm(forms.Form):
    """Whether an opt-out by hand holds for the hosts below, too."""

    subdomains = forms.BooleanField(required=False, label="And every host below it")
