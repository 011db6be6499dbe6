"""The form that anybody reports with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.html import format_html

from registry.datasets.models import Dataset, Version
from registry.lib.errors import Refused
from takedowns.reports.models import Category
from takedowns.reports.refusals import refusal
from takedowns.reports.services import MAX_ITEMS
from takedowns.reports.upload import lines_of, lines_of_file

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.accounts.models import User


if TYPE_CHECKING:
    VersionsField = forms.ModelMultipleChoiceField[Version]
else:  # only the stubs know the field by its model
    VersionsField = forms.ModelMultipleChoiceField


class VersionChoice(VersionsField):
    """Versions by the name that their dataset gives them."""

    def label_from_instance(self, obj: Version) -> str:
        """Name a version, with its day."""
        return f"{obj.name} ({obj.dated:%Y-%m-%d})"


if TYPE_CHECKING:
    CategoryField = forms.ModelChoiceField[Category]
else:
    CategoryField = forms.ModelChoiceField


class CategoryChoice(CategoryField):
    """Categories with what they mean, and the time that a decision may take."""

    def label_from_instance(self, obj: Category) -> str:
        """Name a category and explain it below."""
        hours = obj.clock_hours
        return format_html(
            '<span>{}<span class="what">{} Decided within {}.</span></span>',
            obj.label,
            obj.help,
            f"{hours // 24} days" if hours >= 48 else f"{hours} hours",
        )


class ReportForm(forms.Form):
    """What is wrong with which rows. After `is_valid`, `lines` are those pasted, `file_lines` those of a file if any."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(),
        label="Which dataset is it about?",
        to_field_name="slug",
        empty_label="Choose a dataset",
        error_messages={
            "required": "Choose a dataset.",
            "invalid_choice": "There is no such dataset. Choose one of the list.",
        },
    )
    versions = VersionChoice(
        Version.objects.none(),
        label="Which versions, if you know?",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="All versions are searched in any case.",
        error_messages={"invalid_choice": "One of these versions does not belong to the dataset."},
    )
    category = CategoryChoice(
        Category.objects.all(),
        label="What is wrong?",
        widget=forms.RadioSelect,
        empty_label=None,
        error_messages={
            "required": "Choose what is wrong.",
            "invalid_choice": "There is no such category. Choose one of the list.",
        },
    )
    items = forms.CharField(
        label="Which rows? One a line",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"class": "code", "spellcheck": "false", "autocapitalize": "off"}),
        help_text=(
            "A URL (https://…), or host:img.example.com, domain:example.com, md5:…, sha256:…, id:…. "
            f"At most {MAX_ITEMS:,} lines. To have only one cell of a row emptied, name its column before it: "
            "cell:caption https://…; to have one entry of a list dropped, write element: before it."
        ),
    )
    file = forms.FileField(
        label="Or a text file with one a line",
        required=False,
        help_text="Plain text in UTF-8, written as above.",
        error_messages={"empty": "The file is empty."},
    )
    description = forms.CharField(
        label="What should the people who decide know?",
        max_length=10_000,
        widget=forms.Textarea,
        help_text="Why these rows should go. Do not repeat addresses here.",
        error_messages={"required": "Say in a sentence why these rows should go."},
    )
    contact_name = forms.CharField(label="Your name", required=False, max_length=200)
    contact_email = forms.EmailField(
        label="Your e-mail address",
        required=False,
        help_text="Only the people who decide see it. You can follow the report without it, by a secret link.",
        error_messages={"invalid": "This is not an e-mail address. Correct it or leave it empty."},
    )

    def __init__(
        self, *args: Any, user: User | AnonymousUser, dataset: Dataset | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lines: list[str] = []
        self.file_lines: list[str] | None = None
        public = Version.objects.visible_to(user).exclude(status="draft")
        chosen: dict[str, Any] = self.fields
        chosen["items"].one_of = chosen["file"].one_of = True
        chosen["dataset"].queryset = Dataset.objects.visible_to(user)
        slug = self.data.get("dataset") if self.is_bound else dataset and dataset.slug
        # Without a script the choice of versions can only follow a dataset that is already known.
        if slug and isinstance(slug, str) and "\0" not in slug:
            chosen["versions"].queryset = public.filter(dataset__slug=slug)
        if not self.is_bound:
            # What is refused anyway is explained beside the form, so that nobody writes it down here first.
            chosen["category"].queryset = Category.objects.filter(sensitivity="open")

    def clean_category(self) -> Category:
        """Refuse at once what this site cannot take."""
        category: Category = self.cleaned_data["category"]
        if answer := refusal(category):
            raise forms.ValidationError(answer)
        return category

    def clean(self) -> dict[str, Any]:
        """Read the lines, pasted and attached ones together."""
        cleaned: dict[str, Any] = super().clean() or {}
        self.lines = lines_of(cleaned.get("items") or "")
        if cleaned.get("file"):
            try:
                self.file_lines = lines_of_file(cleaned["file"])
            except Refused as refused:
                self.add_error("file", str(refused))
        lines = [*self.lines, *(self.file_lines or ())]
        if not any(line.strip() for line in lines) and not self.errors.keys() & {"items", "file"}:
            self.add_error("items", "Name at least one row: paste it here or attach a file.")
        return cleaned
