"""What the pages of this package ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.utils import timezone

from expunge.keys import Role as KeyRole
from registry.accounts.models import Role
from registry.accounts.permissions import organisations_of
from registry.accounts.selectors import organisation_list
from registry.datasets.models import LineageKind
from registry.datasets.selectors import version_by_reference
from registry.datasets.states import AFTER_INGEST
from registry.templatetags.look import byte_size

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

    from registry.accounts.models import Organisation, User
    from registry.datasets.models import Version

NO_COLUMN = "-"


class DatasetForm(forms.Form):
    """A dataset to create in one of the user's organisations."""

    organisation: forms.ModelChoiceField[Organisation] = forms.ModelChoiceField(
        label="Which organisation keeps it?", queryset=None, to_field_name="slug", empty_label=None
    )
    name = forms.CharField(
        label="What is it called?", max_length=200, error_messages={"required": "Give the dataset a name."}
    )
    slug = forms.SlugField(
        label="What is its short name?",
        help_text="Part of every address and of dataset@version. It cannot be changed later.",
        error_messages={"required": "Give it a short name of letters, digits and hyphens."},
    )
    description = forms.CharField(
        label="What does it contain?", widget=forms.Textarea(attrs={"rows": 4}), required=False
    )
    licence = forms.CharField(
        label="Under which licence?", max_length=100, required=False, help_text="As its publisher names it."
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["organisation"].queryset = organisation_list(user).filter(  # type: ignore[attr-defined]  # a ModelChoiceField
            pk__in=organisations_of(user, Role.MAINTAINER)
        )


class ManyFiles(forms.ClearableFileInput):
    """An input that takes several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files, as a list."""

    widget = ManyFiles(attrs={"multiple": True})

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Check each file; returns a list, empty when none was chosen."""
        files = data if isinstance(data, list) else [data] if data else []
        return [super(FilesField, self).clean(file, initial) for file in files]


class OriginForm(forms.Form):
    """Where a version's files are, and which column carries what."""

    source = forms.CharField(
        label="Where are its files?",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"class": "code"}),
    )
    upload = FilesField(
        label="Or which files do you upload?",
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roots = ", ".join(map(str, settings.IMPORT_ROOTS)) or "none is set on this site"
        self.fields[
            "source"
        ].help_text = f"A file, folder or glob under an import folder ({roots}). Leave empty to upload."
        self.fields["upload"].help_text = (
            "Parquet, CSV, TSV, JSONL or text, the text forms also .gz or .zst; "
            f"at most {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files and {byte_size(settings.UPLOAD_MAX_BYTES)} in one upload."
        )
        both: Any = self.fields
        both["source"].one_of = both["upload"].one_of = True
        for role in KeyRole:
            self.fields[f"column_{role.value}"] = forms.CharField(
                label=f"Which column carries {role.value}?",
                max_length=200,
                required=False,
                help_text=f"Leave empty to find it by its usual names; {NO_COLUMN} for none.",
                widget=forms.TextInput(attrs={"class": "code"}),
            )

    @property
    def columns(self) -> dict[str, str]:
        """The columns that were named, by role; "" for none."""
        named = {role.value: self.cleaned_data[f"column_{role.value}"] for role in KeyRole}
        return {role: "" if column == NO_COLUMN else column for role, column in named.items() if column}

    @property
    def uploads(self) -> list[UploadedFile[Any]]:
        """The files that were sent."""
        return list(self.cleaned_data["upload"])

    @staticmethod
    def initial_of(version: Version) -> dict[str, str]:
        """What a draft was registered with, to correct."""
        columns = {f"column_{role}": column or NO_COLUMN for role, column in version.columns.items()}
        return {"source": version.source, **columns}


class VersionForm(OriginForm):
    """A version to register."""

    name = forms.CharField(
        label="What is this version called?", max_length=100, help_text="For example 2025-01-01 or 1.2."
    )
    dated = forms.DateField(
        label="When was this state published?",
        initial=lambda: timezone.now().date(),
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    final_status = forms.ChoiceField(
        label="What becomes of it once it is read?",
        choices=[(status.value, status.label) for status in AFTER_INGEST],
        initial=AFTER_INGEST[0].value,
        widget=forms.RadioSelect,
        help_text="Deprecated or quarantined for an old version that is registered after the fact.",
    )
    field_order = ["name", "dated", "source", "upload"]


class LineageForm(forms.Form):
    """What was made of what; the page's dataset is the child's or, for an artifact, the parent's."""

    parent = forms.CharField(
        label="Which version was it made of?", max_length=151, help_text="As dataset@version."
    )
    kind = forms.ChoiceField(label="How was it made?", choices=LineageKind.choices, widget=forms.RadioSelect)
    child = forms.CharField(
        label="Which version was made?", max_length=151, required=False, help_text="As dataset@version."
    )
    artifact = forms.CharField(
        label="Or which artifact was made?",
        max_length=200,
        required=False,
        help_text="A model or anything else that is no dataset here, by its public name.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_parent(self) -> Version | None:
        """Turn dataset@version into the version."""
        return self._version("parent")

    def clean_child(self) -> Version | None:
        """Turn dataset@version into the version, if one was named."""
        return self._version("child") if self.cleaned_data["child"] else None

    def _version(self, field: str) -> Version:
        version = version_by_reference(self.user, self.cleaned_data[field])
        if version is None:
            raise forms.ValidationError("There is no such version. Write it as dataset@version.")
        return version
