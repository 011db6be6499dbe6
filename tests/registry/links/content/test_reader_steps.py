"""What one reading asks for, step by step, and what ends it: without a host and without its pauses."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.lib.safe_http import Headers, Outcome, Refused, Request, Response, Stop
from registry.links.content.models import OriginSignature
from registry.links.content.reading import Contents, Plan, Reader
from registry.links.content.states import Evidence, Facts, Unread
from registry.links.models import RobotsFile
from registry.links.robots import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.links.content.states import Reading

ORIGIN = "http://a.example.com"
URL = f"{ORIGIN}/pictures/1.jpg"
TDM = f"{ORIGIN}/.well-known/tdmrep.json"
BODY = b"\xff\xd8\xff\xe0 a picture"
RESERVED = b'[{"location": "/pictures/", "tdm-reservation": 1}]'


def answer(body: bytes = b"", status: int = 200, headers: str = "", *, cut: bool = False) -> Response:
    return Response(URL, status, Headers(headers.encode()), body, cut, "9.9.9.9", (), 0.0)


class Origin:
    """Answers what stands in `pages`, a picture at URL and 404 elsewhere; `asked` is what it was asked for."""

    def __init__(self, **signature: object) -> None:
        self.pages: dict[str, Response | Refused | None] = {URL: answer(BODY)}
        self.asked: list[Request] = []
        self.links: list[int | None] = []
        self.looked_at = 0
        self.signature = OriginSignature(host_id=1, origin=ORIGIN, **signature)

    async def ask(self, request: Request, *, link: int | None = None) -> Response | Refused | None:
        self.asked.append(request)
        self.links.append(link)
        return self.pages.get(request.url, answer(status=404))

    async def pdq(self, _data: bytes) -> bytes:
        self.looked_at += 1
        return bytes(32)

    def read(self, plan: Plan | None = None, robots: str = "") -> Reading | Refused | None:
        async def reading() -> Reading | Refused | None:
            contents = Contents({}, {}, self._may, self, asyncio.Semaphore(1))  # type: ignore[arg-type]  # looks as a picture's process does
            rules = Rules.of(RobotsFile(text=robots, status=200 if robots else 404))
            reader = Reader(self.signature, rules, ask=self.ask, redirected=_onward, contents=contents)
            return await reader.read(7, URL, plan or Plan())

        return asyncio.run(reading())

    async def _may(self, _link: int) -> bool:
        return True

    @property
    def paths(self) -> list[str]:
        return [request.url.removeprefix(ORIGIN) for request in self.asked]


def _onward(_url: str, location: str) -> str:
    if location == "javascript:":
        raise Stop(Outcome.INVALID_URL, "scheme")
    return location


def known() -> dict[str, object]:
    now = timezone.now()
    return {"probed_at": now, "tdm_at": now, "tdm_rules": []}


def test_a_first_reading_asks_for_the_reservations_a_random_path_and_the_beginning() -> None:
    origin = Origin()
    found = origin.read()
    assert isinstance(found, Facts)
    assert found.prefix == hashlib.sha256(BODY).digest()
    first, nowhere, last = origin.paths
    assert (first, last) == ("/.well-known/tdmrep.json", "/pictures/1.jpg")
    assert len(nowhere) == len("/.jpg") + 32
    assert nowhere.endswith(".jpg")
    assert [dict(request.headers) for request in origin.asked] == [
        {},
        {"Range": "bytes=0-65535"},
        {"Range": "bytes=0-65535"},
    ]
    assert origin.links == [None, None, 7]  # of the content alone it is asked whether the link may be read
    assert [request.limits.redirects for request in origin.asked] == [0, 0, 0]


@pytest.mark.parametrize(
    ("what", "age", "asked"),
    [
        ("tdm_at", timedelta(hours=23, minutes=59), False),
        ("tdm_at", timedelta(hours=24, minutes=1), True),
        ("probed_at", timedelta(days=30) - timedelta(minutes=1), False),
        ("probed_at", timedelta(days=30) + timedelta(minutes=1), True),
    ],
)
def test_what_an_origin_said_counts_for_a_day_and_what_it_shows_where_nothing_is_for_thirty(
    what: str, age: timedelta, *, asked: bool
) -> None:
    origin = Origin(**(known() | {what: timezone.now() - age}))
    assert isinstance(origin.read(), Facts)
    assert len(origin.paths) == 1 + asked


def test_what_is_reserved_is_not_asked_for() -> None:
    origin = Origin()
    origin.pages[TDM] = answer(RESERVED)
    assert origin.read() == Unread(Evidence.OPTED_OUT, ("tdm-reservation",))
    assert origin.paths == ["/.well-known/tdmrep.json"]
    assert origin.read() == Unread(Evidence.OPTED_OUT, ("tdm-reservation",))
    assert len(origin.paths) == 1


@pytest.mark.parametrize("said", [answer(status=429), answer(status=500), answer(status=503), None,
                                  Refused(Outcome.READ_TIMEOUT, "read", (), 1.0)])  # fmt: skip
def test_an_origin_that_cannot_say_what_it_reserves_is_not_read(said: Response | Refused | None) -> None:
    origin = Origin()
    origin.pages[TDM] = said
    assert origin.read() is None
    assert origin.paths == ["/.well-known/tdmrep.json"]
    assert origin.signature.tdm_at is None


@pytest.mark.parametrize("status", [403, 404, 410, 302])
def test_an_origin_without_such_a_file_reserves_nothing(status: int) -> None:
    origin = Origin(**(known() | {"tdm_at": None}))
    origin.pages[TDM] = answer(RESERVED, status)
    assert isinstance(origin.read(), Facts)


def test_no_random_path_is_asked_for_that_robots_txt_denies() -> None:
    origin = Origin(**(known() | {"probed_at": None}))
    assert isinstance(origin.read(robots="User-agent: *\nDisallow: /\nAllow: /pictures/\n"), Facts)
    assert origin.paths == ["/pictures/1.jpg"]
    assert origin.signature.probed_at is not None


@pytest.mark.parametrize(
    "declares", ["X-Robots-Tag: noai", "X-Robots-Tag: expunge: noimageai", "TDM-Reservation: 1"]
)
def test_an_answer_that_objects_is_not_hashed(declares: str) -> None:
    origin = Origin(**known())
    origin.pages[URL] = answer(BODY, headers=declares)
    found = origin.read(Plan(images=True))
    assert isinstance(found, Unread)
    assert (found.why, len(found.opt_outs), origin.looked_at) == (Evidence.OPTED_OUT, 1, 0)


def test_a_whole_that_objects_where_its_beginning_did_not_is_not_hashed_either() -> None:
    origin = Origin(**known())
    part = answer(BODY, 206, f"Content-Range: bytes 0-{len(BODY) - 1}/900", cut=False)
    answers = iter([part, answer(BODY * 9, headers="X-Robots-Tag: noai")])

    async def ask(request: Request, *, link: int | None = None) -> Response:
        origin.asked.append(request)
        assert link == 7
        return next(answers)

    origin.ask = ask  # type: ignore[method-assign]
    found = origin.read(Plan(images=True))
    assert found == Unread(Evidence.OPTED_OUT, ("noai",))
    assert (len(origin.asked), origin.looked_at) == (2, 0)
    assert "range" not in {name.lower() for name in origin.asked[1].headers}


def test_what_the_origin_shows_where_nothing_is_counts_as_that_unless_it_was_recorded() -> None:
    shown = known() | {"missing_body": hashlib.sha256(BODY).digest()}
    assert Origin(**shown).read() == Unread(Evidence.NOT_FOUND_PAGE)
    recorded = frozenset({("content.sha256", hashlib.sha256(BODY).digest())})
    assert isinstance(Origin(**shown).read(Plan(recorded)), Facts)


@pytest.mark.parametrize(("images", "looks"), [(True, 1), (False, 0)])
def test_pictures_are_looked_at_only_where_the_maintainer_wants_that(images: bool, looks: int) -> None:  # noqa: FBT001  -- a parameter of the table above
    origin = Origin(**known())
    found = origin.read(Plan(images=images))
    assert isinstance(found, Facts)
    assert (origin.looked_at, found.pdq is not None) == (looks, images)


def test_a_link_that_was_excluded_meanwhile_is_told_as_that() -> None:
    origin = Origin(**known())
    excluded = Refused(Outcome.POLICY_NO_FETCH, "excluded", (), 0.0)
    origin.pages[URL] = excluded
    assert origin.read() is excluded
    origin.pages[URL] = Refused(Outcome.RESET, "curl_56", (), 0.0)
    assert origin.read() == Unread(Evidence.NO_CONTENT)
    origin.pages[URL] = None
    assert origin.read() is None


@pytest.mark.parametrize(
    ("redirect", "target"), [(f"{ORIGIN}/sorry", f"{ORIGIN}/sorry"), ("javascript:", "")]
)
def test_where_an_origin_leads_from_nowhere_is_remembered_if_it_may_be_asked_for(
    redirect: str, target: str
) -> None:
    origin = Origin(**(known() | {"probed_at": None}))
    real: Callable[..., object] = origin.ask

    async def ask(request: Request, *, link: int | None = None) -> Response | Refused | None:
        if request.url not in origin.pages:
            return answer(status=302, headers=f"Location: {redirect}")
        return await real(request, link=link)  # type: ignore[misc, no-any-return]

    origin.ask = ask  # type: ignore[method-assign]
    assert isinstance(origin.read(), Facts)
    assert origin.signature.missing_target == target
