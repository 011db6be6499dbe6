"""A picture whose decoder hangs costs its time, and no other picture anything."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from registry.links.content import pictures
from registry.links.content.pictures import Pictures

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# Says what it was given, and hangs at one picture.
PROGRAM = """
import sys, time
while len(head := sys.stdin.buffer.read(4)) == 4:
    data = sys.stdin.buffer.read(int.from_bytes(head))
    if data == b"hangs":
        time.sleep(60)
    print('{"pdq": "%s"}' % data.hex(), flush=True)
"""


def test_it_is_given_up_and_the_next_gets_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert pictures.PICTURE_SECONDS == 20.0
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    monkeypatch.setattr(pictures, "PICTURE_SECONDS", 3.0)

    async def hashes() -> list[bytes | None]:
        async with Pictures() as asked:
            return [await asked.pdq(data) for data in (b"one", b"hangs", b"two")]

    began = time.monotonic()
    assert asyncio.run(hashes()) == [b"one", None, b"two"]
    assert time.monotonic() - began < 30
