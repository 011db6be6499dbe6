"""Forms of the decision rail."""

from __future__ import annotations

import csv
from typing import Any

from django import forms

from takedowns.reports.models import Outcome


class ColumnsField(forms.CharField):
    """Names of columns with commas between; one that has a comma itself stands in quotes: `caption, "width, height"`."""

    def __init__(self, label: str, help_text: str = "") -> None:
        super().__init__(label=label, help_text=help_text, required=False, max_length=2_000)

    def clean(self, value: Any) -> list[str]:
        """Split them."""
        text = super().clean(value).replace("\n", " ").replace("\r", " ")
        return [
            name for row in csv.reader([text], skipinitialspace=True) for one in row if (name := one.strip())
        ]


class ProposeForm(forms.Form):
    """What a maintainer proposes for the whole case."""

    default = forms.ChoiceField(
        label="What becomes of the located rows that are not marked?",
        choices=[
            (Outcome.REMOVE, "They are removed; cells and elements that were named are redacted"),
            (Outcome.REDACT, "They stay, and the columns below become null in them"),
            (Outcome.REJECT, "They are kept as they are"),
        ],
        initial=Outcome.REMOVE,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what becomes of the located rows."},
    )
    columns = ColumnsField(
        "If they are redacted, which columns?",
        help_text="Names as the dataset has them, with a comma between: caption, author.",
    )
    default_note = forms.CharField(
        label="If they are kept, why?",
        required=False,
        max_length=500,
        help_text="Shown to the reporter beside each of them.",
    )
    statement = forms.CharField(
        label="Statement of reasons",
        max_length=10_000,
        widget=forms.Textarea,
        help_text="What was decided and why, in words that the reporter reads. Name no item.",
        error_messages={"required": "Write the statement of reasons."},
    )
    summary = forms.CharField(
        label="Public summary",
        max_length=2_000,
        widget=forms.Textarea,
        help_text="For the advisory: what kind of rows, and why. Name no item and no person.",
        error_messages={"required": "Write the public summary."},
    )


class ApproveForm(forms.Form):
    """The digest of what the approver was shown."""

    preview = forms.CharField(widget=forms.HiddenInput, max_length=64)


class ReturnForm(forms.Form):
    """Why a proposal goes back."""

    reason = forms.CharField(
        label="Why is it returned?",
        max_length=2_000,
        widget=forms.Textarea,
        help_text="The proposer reads it.",
        error_messages={"required": "Say why it is returned."},
    )


class MarkForm(forms.Form):
    """Items ticked in the list, and what to do with them."""

    items = forms.TypedMultipleChoiceField(
        coerce=int, label="Items", error_messages={"required": "Tick at least one item."}
    )
    outcome = forms.ChoiceField(
        choices=[
            (Outcome.REJECT, "Keep"),
            (Outcome.REDACT, "Redact"),
            (Outcome.PENDING, "Take the mark off"),
        ]
    )
    columns = ColumnsField("Which columns are redacted?")
    note = forms.CharField(label="Why are these rows kept?", required=False, max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Which items there are is the service's question; here they only have to be numbers.
        given = self.data.getlist("items") if hasattr(self.data, "getlist") else []
        items: Any = self.fields["items"]
        items.choices = [(value, value) for value in given if value.isdecimal() and len(value) < 19]


class MergeForm(forms.Form):
    """The case to go on with."""

    into = forms.CharField(
        label="Number of the case that goes on",
        max_length=20,
        help_text="CASE-2026-0001, about the same dataset.",
        error_messages={"required": "Give the number of the other case."},
    )


class OwnInitiativeForm(forms.Form):
    """Why links that the checks found should go, and the digest of the preview that was looked at."""

    reason = forms.CharField(
        label="Why should these rows go?",
        max_length=5_000,
        widget=forms.Textarea,
        help_text="Read by those who propose and approve the decision. It is not published.",
        error_messages={"required": "Say why these rows should go."},
    )
    preview = forms.CharField(max_length=64, widget=forms.HiddenInput)
