"""An item is shown so that two can be told apart and none can be opened."""

from __future__ import annotations

import pytest

from expunge.lists import parse_entry
from takedowns.reports.masking import kind_label, masked, outcome_label, part_named
from takedowns.reports.models import Item, Outcome, Report, Target


def item(value: str) -> Item:
    entry = parse_entry(value)
    return Item(value=value, kind=entry.kind.value, key=entry.key, position=3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://img.example.com/secret/7.jpg?name=ann", "https://img.example.com/… "),
        ("http://Ann:pass@IMG.example.com:8080/x", "http://img.example.com/… "),
        ("md5:" + "ab" * 16, "abababababab…"),
        ("url.c1.sha256:" + "cd" * 32, "cdcdcdcdcdcd…"),
    ],
)
def test_it_shows_host_and_the_first_digits_of_the_key(value: str, shown: str) -> None:
    assert masked(item(value)).startswith(shown)


@pytest.mark.parametrize(
    "value",
    [
        "https://img.example.com/secret?ann",
        "https://ann:secret@img.example.com/",
        "text:secret ann",
        "id:secret-ann",
    ],
)
def test_it_never_shows_path_query_sign_in_text_or_id(value: str) -> None:
    assert "ann" not in masked(item(value))
    assert "secret" not in masked(item(value))
    assert b"secret".hex()[:6] not in masked(item(value))


@pytest.mark.parametrize("value", ["host:img.example.com", "domain:example.com"])
def test_a_host_or_domain_is_shown_as_itself(value: str) -> None:
    assert masked(item(value)) == value.partition(":")[2]


def test_two_urls_of_one_host_are_told_apart() -> None:
    assert masked(item("https://a.example.com/1")) != masked(item("https://a.example.com/2"))


def test_a_line_that_could_not_be_read_is_named_by_its_place() -> None:
    assert masked(Item(report=Report(), value="ann's secret", position=1_204)) == "line 1,204"
    assert kind_label("") == "Unreadable line"


def test_a_cell_is_shown_masked_with_its_column() -> None:
    url = "https://img.example.com/secret/7.jpg"
    shown = item(url)
    shown.value, shown.target, shown.column = f"cell:caption {url}", Target.CELL, "caption"
    assert masked(shown).startswith("https://img.example.com/… ")
    assert "secret" not in masked(shown)
    assert part_named(shown) == "cell caption"
    shown.redacted = ["author"]
    assert outcome_label(shown, Outcome.REDACT) == "Redact: author"
    assert outcome_label(shown, Outcome.PENDING) == "Not decided yet"
