"""Forms of the decision rail."""

from __future__ import annotations

from typing import Any

from django import forms

from takedowns.reports.models import Outcome


class ProposeForm(forms.Form):
    """What a maintainer proposes for the whole case."""

    default = forms.ChoiceField(
        label="What becomes of the located rows that are not marked?",
        choices=[(Outcome.REMOVE, "They are removed"), (Outcome.REJECT, "They are kept")],
        initial=Outcome.REMOVE,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what becomes of the located rows."},
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
    outcome = forms.ChoiceField(choices=[(Outcome.REJECT, "Keep"), (Outcome.PENDING, "Take the mark off")])
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
