"""What servers do with content: one scripted host for each behaviour, looked at three times, all in the same batches."""

from __future__ import annotations

import gzip
import hashlib
import logging
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.utils import timezone

from registry.links import services
from registry.links.content.models import LinkContent, OriginSignature
from registry.links.models import Host, Link, LinkPolicy, PanelRow
from registry.links.robots import origin_of
from registry.links.schedule import NOW
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects, writes
from tests.registry.links.conftest import Town, no_robots
from tests.registry.links.content.pictures import bomb, encoded, noise, on_get, picture, serves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.lib.safe_http.servers import Handler

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True)]

MARK = secrets.token_bytes(
    24
)  # at the end of the first picture: nothing of it may be found anywhere afterwards


@dataclass(frozen=True)
class Case:
    """A host: what it shows at the first look, what at the next two, and how the content stands after each of the three.

    `recorded` are hashes as the dataset has them, None where it recorded none; a state is written `state/evidence`.
    """

    first: Handler
    then: Handler
    stands: tuple[str, str, str]
    recorded: dict[str, str] | None = None
    path: str = "/1.jpg"
    link: str = "alive"


JPEG = encoded(picture(1)) + MARK
BIG = encoded(noise(1), "PNG")  # about 480 KB
HUGE = encoded(noise(2, 40)) + bytes(11 * 1024**2)
PAGE = b"<!DOCTYPE html><html><body>" + b"parked " * 50
FIRST = "unknown/first_sight"


def same(state: str, evidence: str) -> tuple[str, str, str]:
    return FIRST, f"{state}/{evidence}", f"{state}/{evidence}"


def suspect(evidence: str) -> tuple[str, str, str]:
    return FIRST, f"changed/{evidence}", f"replaced/{evidence}"


def recorded(body: bytes, kind: str = "sha256") -> dict[str, str]:
    return {f"content.{kind}": hashlib.new(kind, body).hexdigest()}


def case(
    then: Handler | bytes, stands: tuple[str, str, str], first: Handler | bytes = JPEG, **more: object
) -> Case:
    handlers = [serves(one) if isinstance(one, bytes) else one for one in (first, then)]
    return Case(handlers[0], handlers[1], stands, **more)  # type: ignore[arg-type]  # as named in Case


GZIPPED = answers(gzip.compress(JPEG), headers="Content-Encoding: gzip\r\nContent-Type: image/jpeg\r\n")
WRONG_RANGE = on_get(
    answers(JPEG[100:200], status="206 Partial Content", headers="Content-Range: bytes 100-199/9000\r\n"),
    answers(b"x"),
)
PARTS = answers(JPEG, status="206 Partial Content", headers="Content-Type: multipart/byteranges\r\n")
UNKNOWN_TOTAL = answers(
    JPEG[:100],
    status="206 Partial Content",
    headers="Content-Range: bytes 0-99/*\r\nContent-Type: image/jpeg\r\n",
)
SHORT_RANGE = answers(JPEG[:100], status="206 Partial Content", headers="Content-Range: bytes 0-999/9000\r\n")
BROKEN_OFF = on_get(writes(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", JPEG[:9000]), serves(JPEG))
ENDLESS = writes(
    b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n", JPEG[:20000], bytes(90_000)
)
TAGGED = serves(JPEG, headers='ETag: "1"\r\n')
NOT_MODIFIED = on_get(answers(b"", status="304 Not Modified"), answers(b"x"))
OPTED_OUT = serves(JPEG, get_only="X-Robots-Tag: noai\r\n")

CASES = {
    # The same
    "same": case(JPEG, same("identical", "whole")),
    "range_ignored": case(answers(JPEG), same("identical", "whole"), first=answers(JPEG)),
    "range_ignored_later": case(answers(JPEG), same("identical", "whole")),
    "big_picture": case(BIG, same("identical", "whole"), first=BIG),
    "too_long": case(HUGE, same("identical", "prefix"), first=HUGE),
    "endless": case(ENDLESS, same("identical", "prefix"), first=ENDLESS),
    "not_modified": case(NOT_MODIFIED, same("revalidated", "validator"), first=TAGGED),
    "recorded_sha256": case(JPEG, ("identical/recorded_hash",) * 3, recorded=recorded(JPEG)),
    "recorded_md5": case(JPEG, ("identical/recorded_hash",) * 3, recorded=recorded(JPEG, "md5")),
    "recorded_sha1_big": case(BIG, ("identical/recorded_hash",) * 3, first=BIG, recorded=recorded(BIG, "sha1")),
    # The same picture in other bytes
    "re_encoded": case(encoded(picture(1), quality=40), same("near_identical", "perceptual")),
    "resized": case(encoded(picture(1).resize((320, 240))), same("near_identical", "perceptual")),
    "as_png": case(encoded(picture(1), "PNG"), same("near_identical", "perceptual")),
    "as_webp": case(encoded(picture(1), "WEBP"), same("near_identical", "perceptual")),
    "recorded_re_encoded": case(
        encoded(picture(1), quality=40),
        ("identical/recorded_hash", "near_identical/perceptual", "near_identical/perceptual"),
        recorded=recorded(JPEG),
    ),
    # Something else
    "swapped": case(encoded(picture(7)), suspect("perceptual")),
    "page_for_picture": case(serves(PAGE, "text/html"), suspect("kind")),
    "page_called_picture": case(serves(PAGE), suspect("kind")),
    "page_at_first": case(
        serves(PAGE, "text/html"),
        ("changed/kind", "changed/kind", "replaced/kind"),
        first=serves(PAGE, "text/html"),
    ),
    "recorded_page": case(
        serves(PAGE, "text/html"),
        ("identical/recorded_hash", "changed/kind", "replaced/kind"),
        recorded=recorded(JPEG),
    ),
    "recorded_other": case(
        encoded(picture(7)), ("changed/recorded_hash",) * 3, first=encoded(picture(7)), recorded=recorded(JPEG)
    ),
    "cut_picture": case(encoded(picture(1).crop((20, 15, 620, 465))), same("changed", "perceptual")),
    "broken_picture": case(b"\xff\xd8\xff" + bytes(500), same("changed", "whole")),
    "bomb": case(serves(bomb(), "image/png"), same("changed", "whole")),
    "plain_pictures": case(
        encoded(picture(1).resize((1, 1)).resize((50, 50))),
        same("changed", "whole"),
        first=encoded(picture(2).resize((1, 1)).resize((50, 50))),
    ),
    "text": case(serves(b"two", "text/plain"), same("changed", "whole"), first=serves(b"one", "text/plain")),
    "length_too_small": case(
        on_get(answers(JPEG[:3000], headers="Connection: close\r\n"), serves(JPEG)), same("changed", "whole")
    ),
    # Nothing to compare: what was known stays
    "gzipped": case(GZIPPED, (FIRST,) * 3),
    "gzipped_at_first": case(GZIPPED, ("unknown/encoded",) * 3, first=GZIPPED),
    "wrong_range": case(WRONG_RANGE, ("unknown/wrong_range",) * 3, first=WRONG_RANGE),
    "many_parts": case(PARTS, ("unknown/wrong_range",) * 3, first=PARTS),
    "short_range": case(SHORT_RANGE, (FIRST,) * 3),
    "unknown_total": case(UNKNOWN_TOTAL, same("identical", "prefix"), first=UNKNOWN_TOTAL),
    "broken_off": case(BROKEN_OFF, (FIRST,) * 3),
    "empty": case(b"", ("unknown/empty",) * 3, first=b""),
    "get_fails": case(
        on_get(answers(b"", status="500 No"), answers(b"x")),
        ("unknown/no_content",) * 3,
        first=on_get(answers(b"", status="500 No"), answers(b"x")),
    ),
    "get_challenged": case(
        on_get(answers(b"", status="403 No", headers="cf-mitigated: challenge\r\n"), answers(b"x")), (FIRST,) * 3
    ),
    "get_redirects": case(on_get(redirects("/2.jpg"), answers(b"x")), (FIRST,) * 3),
    "not_modified_unasked": case(NOT_MODIFIED, ("unknown/",) * 3, first=NOT_MODIFIED),
    # Opted out: forgotten
    "opted_out_by_get": case(OPTED_OUT, (FIRST, "unknown/opted_out", "unknown/opted_out")),
    "opted_out_by_head": case(
        serves(JPEG, headers="TDM-Reservation: 1\r\n"), (FIRST, "unknown/opted_out", "unknown/opted_out")
    ),
}  # fmt: skip


def stands(link: Link) -> str:
    found = LinkContent.objects.filter(link=link).first()
    return f"{found.state}/{found.evidence}" if found else "none"


def look_again(*, later: bool) -> None:
    """Make every link due at once, and every host free."""
    Link.objects.filter(due_at__isnull=False).update(due_at=NOW)
    Host.objects.update(due_at=NOW, next_at=timezone.now(), delay=1.0)
    if later:
        LinkContent.objects.filter(suspect_at__isnull=False).update(
            suspect_at=timezone.now() - timedelta(hours=73)
        )


def everything_stored(folder: Path) -> bytes:
    """All rows of all tables, as text, and all files of the store."""
    parts: list[bytes] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            parts += [row.encode() for (row,) in cursor.fetchall()]
    parts += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(parts)


def test_every_behaviour_is_told_and_no_byte_is_kept(
    make_panel: MakePanel, settings: Settings, store_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    town, hosts = Town(), {name: f"127.0.1.{number}" for number, name in enumerate(CASES, 1)}
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        for host in hosts.values():
            town.ports[host] = stack.enter_context(WebServer(town.handler(host), host=host)).port
        settings.LINKS_TEST_TARGETS = [f"{host}:{port}" for host, port in town.ports.items()]
        urls = {name: town.url(hosts[name], one.path) for name, one in CASES.items()}
        make_panel(list(urls.values()))
        LinkPolicy.objects.update(content="images")
        now = timezone.now()
        for name, one in CASES.items():
            link = Link.objects.get(url=urls[name])
            PanelRow.objects.filter(link=link).update(hashes=one.recorded or {})
            OriginSignature.objects.create(
                host=link.host, origin=origin_of(link.url), probed_at=now, tdm_at=now
            )
        no_robots()
        seen: list[dict[str, str]] = []
        for look in range(3):
            for name, one in CASES.items():
                town.pages[hosts[name], one.path] = one.then if look else one.first
            look_again(later=look > 1)
            assert services.links_check() == len(CASES)
            seen.append({name: stands(Link.objects.get(url=url)) for name, url in urls.items()})
    told = {name: tuple(look[name] for look in seen) for name in CASES}
    assert {name: stood for name, stood in told.items() if stood != CASES[name].stands} == {}
    assert set(Link.objects.values_list("state", flat=True)) == {"alive"}
    validators = [one.head for one in town.log if "if-none-match" in one.head.lower()]
    assert {head.split("If-None-Match: ")[1].split("\r\n")[0] for head in validators} == {'"1"'}
    assert [one.method for one in town.log if one.host == hosts["opted_out_by_head"]] == [
        "HEAD",
        "GET",
        "HEAD",
        "HEAD",
    ]
    kept = everything_stored(store_folder)
    for secret in (
        MARK,
        MARK.hex().encode(),
        JPEG[1000:1016],
        JPEG[1000:1016].hex().encode(),
        b"parked parked",
    ):
        assert secret not in kept
        assert secret.decode("latin-1") not in caplog.text
