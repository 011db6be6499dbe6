from __future__ import annotations

import json
import time

import pytest

from registry.links.content.reservation import is_reserved, read_rules, tdmrep_url

URL = "https://a.example.com/art/2024/one.jpg?size=2"


def rules(*given: tuple[object, object]) -> list[tuple[str, bool]]:
    return read_rules(
        json.dumps([{"location": where, "tdm-reservation": value} for where, value in given]).encode()
    )


@pytest.mark.parametrize(
    "pattern", ["/", "/art", "/art/", "*", "/*.jpg", "/art/*/one", "/*size=2$", "/art/2024/one.jpg?size=2$", "*2$"]
)  # fmt: skip
def test_a_path_that_fits_is_reserved(pattern: str) -> None:
    assert is_reserved(rules((pattern, 1)), URL)


@pytest.mark.parametrize(
    "pattern", ["/texts", "/*.png", "/art$", "/*one.jpg$", "art", "/art/2024/*/one.jpg", "/Art"]
)
def test_another_path_is_not(pattern: str) -> None:
    assert not is_reserved(rules((pattern, 1)), URL)


def test_the_first_rule_that_fits_decides() -> None:
    assert not is_reserved(rules(("/art", 0), ("/", 1)), URL)
    assert is_reserved(rules(("/music", 0), ("/", 1)), URL)
    assert is_reserved(rules(("/", "1")), "https://a.example.com")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"null", b"[1, null]", b'[{"location": 1}]', b"\xff", b"[" * 60_000,
     b'[{"location": "/", "tdm-reservation": true}]', b'[{"location": "/", "tdm-reservation": [1]}]',
     b'[{"location": "/\\u0000", "tdm-reservation": 1}]'],
)  # fmt: skip
def test_what_is_no_such_file_reserves_nothing(body: bytes) -> None:
    assert not is_reserved(read_rules(body), URL)


def test_a_hostile_pattern_costs_no_time() -> None:
    hostile = rules(*[("*a" * 240 + "$", 1)] * 500)
    assert len(hostile) == 200
    began = time.process_time()
    is_reserved(hostile, "https://a.example.com/" + "a" * 8_000 + "b")
    assert time.process_time() - began < 1


def test_it_is_asked_of_the_same_scheme_host_and_port() -> None:
    assert tdmrep_url("http://a.example.com:8080/x?y") == "http://a.example.com:8080/.well-known/tdmrep.json"
