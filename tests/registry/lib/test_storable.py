from __future__ import annotations

import json

import pytest
from django.db import connection

from registry.lib.storable import storable


@pytest.mark.parametrize(
    "text", ["", "plain", "žluťoučký", "\U0001f600", "\ufffe\uffff", "\x01\x7f\x85\u2028"]
)
def test_what_can_be_stored_stays_as_it_is(text: str) -> None:
    assert storable(text) == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("/\ud800", "/\ufffd"),
        ("\udfff\ud83d", "\ufffd\ufffd"),
        (json.loads('"\\ud800\\u0000\\ud83d\\ude00"'), "\ufffd\ufffd\U0001f600"),
    ],
)
def test_what_cannot_is_replaced_character_by_character(text: str, stored: str) -> None:
    assert storable(text) == stored


@pytest.mark.django_db
def test_the_database_takes_whatever_it_leaves() -> None:
    text = storable("".join(map(chr, [*range(0x2FF), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)])))
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text, %s::jsonb ->> 0", [text, json.dumps([text])])
        assert cursor.fetchone() == (text, text)
