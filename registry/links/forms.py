"""What the page of a version's links asks for."""

from __future__ import annotations

from django import forms

from registry.links.content.states import ContentChecks
from registry.links.panel import MAX_SIZE
from registry.links.services import MAX_BUDGET


class PanelForm(forms.Form):
    """How many links to draw."""

    size = forms.IntegerField(
        min_value=1,
        max_value=MAX_SIZE,
        initial=10_000,
        label="Links to check",
        help_text="10,000 tell any share within about one percentage point, however large the version. "
        "Of rare kinds of domain a few more are drawn.",
    )


class BudgetForm(forms.Form):
    """How many links a day."""

    daily_budget = forms.IntegerField(
        min_value=1,
        max_value=MAX_BUDGET,
        label="Links a day",
        help_text="Over all versions of the dataset, counted from midnight UTC.",
    )


class ContentForm(forms.Form):
    """How far content is read, and how many links that concerned on the page that was looked at."""

    content = forms.ChoiceField(
        choices=ContentChecks.choices,
        widget=forms.RadioSelect,
        label="What is asked for",
        help_text="Pictures only where all that the dataset lists is open: nothing private, nothing illegal to possess.",
        error_messages={"required": "Choose what is asked for."},
    )
    links = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
