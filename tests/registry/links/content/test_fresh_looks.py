"""Every fourth look asks anew, whatever a server calls unmodified; and what confines the process that decodes pictures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.links.content.models import LinkContent
from registry.links.content.pictures import Pictures
from registry.links.content.store import content_plans
from registry.links.models import Link, LinkPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version

FACTS = {
    "kind": "image", "length": 9, "prefix": "00" * 32, "digests": {}, "pdq": None, "etag": '"v1"',
    "modified": "Sun, 06 Nov 1994 08:49:37 GMT",
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
@pytest.mark.parametrize(
    ("reads", "asks"), [(1, True), (2, True), (3, True), (4, False), (5, True), (7, True), (8, False)]
)
def test_a_validator_is_sent_but_every_fourth_time(
    make_panel: Callable[[Sequence[str]], Version], reads: int, *, asks: bool
) -> None:
    make_panel(["https://a.example.com/1.jpg"])
    LinkPolicy.objects.update(content="bytes")
    link = Link.objects.get()
    LinkContent.objects.create(
        link=link, state="identical", evidence="prefix", first=FACTS, last=FACTS, reads=reads
    )
    plan = content_plans([link])[link.pk]
    assert (plan.etag, plan.modified) == ((FACTS["etag"], FACTS["modified"]) if asks else ("", ""))


def test_the_process_has_768_mib_and_can_write_nothing() -> None:
    def told(process: int) -> str:
        return Path(f"/proc/{process}/limits").read_text()

    async def limits() -> str:
        async with Pictures() as pictures:
            assert await pictures.pdq(b"no picture") is None
            assert pictures._process is not None
            return told(pictures._process.pid)

    found = {line[:26].strip(): line[26:].split()[:2] for line in asyncio.run(limits()).splitlines()}
    assert found["Max address space"] == [str(768 * 1024**2)] * 2
    assert found["Max file size"] == ["0", "0"]
    assert found["Max core file size"] == ["0", "0"]
