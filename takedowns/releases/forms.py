"""What a person says when building and publishing a release."""

from __future__ import annotations

from django import forms

from takedowns.releases.models import Form


class BuildForm(forms.Form):
    """Build a release of one base."""

    form = forms.ChoiceField(
        label="What becomes of a removed row?", choices=Form.choices, initial=Form.COMPACT
    )


class PublishForm(forms.Form):
    """Publish the release that was looked at, which its root names."""

    root = forms.CharField(widget=forms.HiddenInput, max_length=64, required=False)
