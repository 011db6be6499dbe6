from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.db import OperationalError

from registry.links import last_look
from registry.links.last_look import LastLook

if TYPE_CHECKING:
    import pytest


def looked(
    monkeypatch: pytest.MonkeyPatch, urls: list[str], *, seconds: float = 0.05
) -> tuple[list[str | None], list[int]]:
    """What is said of each URL, all asked at once, and of how many URLs the database was asked each time."""
    asked: list[int] = []

    def slow(wanted: set[str], _recorded: object) -> set[str]:
        asked.append(len(wanted))
        time.sleep(seconds)
        return {url for url in wanted if url.endswith("secret")}

    async def ask() -> list[str | None]:
        with ThreadPoolExecutor(1) as database:
            look = LastLook(database, {})
            first = asyncio.ensure_future(look(urls[0]))
            await asyncio.sleep(seconds / 2)  # an answer is under way
            return [*await asyncio.gather(first, *(look(url) for url in urls[1:]))]

    monkeypatch.setattr(last_look, "excluded_urls", slow)
    return asyncio.run(ask()), asked


def test_those_that_come_meanwhile_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    said, asked = looked(monkeypatch, [f"http://a.example/{n}" for n in range(500)])
    assert said == [None] * 500
    assert asked == [1, 499]


def test_each_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = looked(
        monkeypatch, ["http://a.example/secret", "http://a.example/1", "http://b.example/secret"]
    )
    assert said == ["excluded", None, "excluded"]


def test_without_the_database_nobody_is_told_that_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> set[str]:
        raise OperationalError("gone")

    async def ask() -> list[object]:
        with ThreadPoolExecutor(1) as database:
            look = LastLook(database, {})
            return [
                *await asyncio.gather(
                    look("http://a.example/1"), look("http://a.example/2"), return_exceptions=True
                )
            ]

    monkeypatch.setattr(last_look, "excluded_urls", gone)
    assert [type(said) for said in asyncio.run(ask())] == [OperationalError, OperationalError]


def test_it_goes_on_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_look, "excluded_urls", lambda urls, _recorded: urls)

    async def ask() -> list[str | None]:
        with ThreadPoolExecutor(1) as database:
            look = LastLook(database, {})
            first = await look("http://a.example/1")
            await asyncio.sleep(0.01)
            return [first, await look("http://a.example/2")]

    assert asyncio.run(ask()) == ["excluded", "excluded"]
