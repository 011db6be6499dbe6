"""How an item is shown: enough to tell two apart, never enough to open it.

A page of a takedown registry must not become a list of the addresses that it takes down.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from expunge.keys import KeyKind, url_host
from takedowns.reports.models import Outcome, Target
from takedowns.reports.targets import split_line

if TYPE_CHECKING:
    from takedowns.reports.models import Item

KEY_DIGITS = 12

# What each kind of key is called on a page.
KIND_LABELS = {
    KeyKind.URL_RAW: "URL",
    KeyKind.URL_C1: "URL",
    KeyKind.HOST: "Host",
    KeyKind.DOMAIN: "Domain",
    KeyKind.MD5: "MD5",
    KeyKind.SHA1: "SHA-1",
    KeyKind.SHA256: "SHA-256",
    KeyKind.TEXT: "Text",
    KeyKind.ROW_ID: "Row id",
}


def part_named(item: Item) -> str:
    """Say which part of its rows an item names: "cell caption", "element of a list"; empty for whole rows."""
    if item.target == Target.CELL:
        return f"cell {item.column}"
    return "element of a list" if item.target == Target.ELEMENT else ""


def outcome_label(item: Item, outcome: Outcome) -> str:
    """Name an outcome of an item in words: of a redaction also what becomes null, "Redact: caption, author"."""
    if outcome is not Outcome.REDACT:
        return outcome.label
    what = ", ".join(item.redacted) or part_named(item)
    return f"{outcome.label}: {what}"


def kind_label(kind: str) -> str:
    """Name a kind of key in words; a line that could not be read has none."""
    return KIND_LABELS[KeyKind(kind)] if kind else "Unreadable line"


def masked(item: Item) -> str:
    """Show an item: "https://host/… 0123456789ab" for a URL, a host or domain itself, else 12 hex digits of its key."""
    if item.key is None:
        return item.place
    kind, key = KeyKind(item.kind), bytes(item.key)
    if kind in {KeyKind.HOST, KeyKind.DOMAIN}:
        # A rule about a whole host is its name; there is no path to hide.
        return key.decode(errors="replace")
    # A row id is its own key: its digest stands for it.
    digits = (sha256(key).digest() if kind is KeyKind.ROW_ID else key).hex()[:KEY_DIGITS]
    if kind is KeyKind.URL_C1 and (host := url_host(url := split_line(item.value).text)):
        return f"{url.split(':', 1)[0].lower()}://{host}/… {digits}"
    return f"{digits}…"
