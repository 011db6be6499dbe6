"""The categories a new site starts with. An operator may change them afterwards: they are data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import Model

# slug, label, help, sensitivity, hours from receipt to decision.
SEED: list[tuple[str, str, str, str, int]] = [
    (
        "opt_out",
        "I do not want my work in this dataset",
        "Your own pictures, texts, code or site.",
        "open",
        72,
    ),
    ("licence", "The licence does not allow it", "The terms of the source forbid this use.", "open", 168),
    ("dead_link", "The link is dead", "It answers with an error, or the domain is gone.", "open", 720),
    ("duplicate", "The same thing twice", "Rows that repeat other rows of the dataset.", "open", 720),
    (
        "poisoning",
        "The content was swapped or poisoned",
        "A domain changed hands, or the content is no longer what the caption says, to mislead whoever trains on it.",
        "open",
        24,
    ),
    ("other", "Something else", "Say what is wrong in your own words.", "open", 168),
    ("privacy", "Personal data", "Names, addresses, faces, health, documents.", "guarded", 72),
    (
        "intimate_image",
        "An intimate image shared without consent",
        "Real or made by a program.",
        "guarded",
        48,
    ),
    (
        "copyright",
        "Copyright, where the use is contested",
        "A notice by or for the owner of the rights.",
        "guarded",
        168,
    ),
    ("child_safety", "Sexual abuse of a child", "Any sexual material that shows a child.", "sealed", 24),
]


def seed_categories(category: type[Model]) -> int:
    """Write the categories that are missing and return how many; those that exist keep what an operator made of them.

    `category` is the model as the migration knows it.
    """
    manager: Any = category._default_manager  # noqa: SLF001  -- documented for code that is given a model
    created = 0
    for position, (slug, label, words, sensitivity, hours) in enumerate(SEED):
        _, new = manager.get_or_create(
            slug=slug,
            defaults={
                "label": label,
                "help": words,
                "sensitivity": sensitivity,
                "clock_hours": hours,
                "position": position,
            },
        )
        created += new
    return created
