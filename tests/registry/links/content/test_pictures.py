"""The confined process that looks at pictures, with pictures that are made to break it."""

from __future__ import annotations

import asyncio
import resource
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from registry.links.content import pictures
from registry.links.content.picture_hash import picture_hash
from registry.links.content.pictures import Pictures
from registry.links.content.states import FAR, NEAR, distance
from tests.registry.links.content.pictures import bomb, encoded, picture, png

if TYPE_CHECKING:
    import pytest


def looked_at(*files: bytes) -> list[bytes | None]:
    async def look() -> list[bytes | None]:
        async with Pictures() as process:
            return [await process.pdq(file) for file in files]

    return asyncio.run(look())


def lying_png() -> bytes:
    """Its head says 6,000 by 6,000 points of 64 bits, and hardly any follow."""
    return png(6_000, 6_000, 16, 6, zlib.compress(b"x"))


def test_the_same_picture_looks_the_same_and_another_does_not() -> None:
    mine, *same, other = looked_at(
        encoded(picture(1)),
        encoded(picture(1), quality=30),
        encoded(picture(1), "PNG"),
        encoded(picture(1).resize((200, 150)), "WEBP"),
        encoded(picture(2)),
    )
    assert mine is not None
    assert other is not None
    assert [distance(mine, one) <= NEAR for one in same if one] == [True] * 3
    assert distance(mine, other) >= FAR


def test_what_breaks_a_decoder_has_no_hash_and_the_next_picture_has_one() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hostile = [
        bomb(), lying_png(), b"", b"\xff\xd8\xff", encoded(picture(1))[:3000], b"%!PS-Adobe-3.0 EPSF-3.0\n",
        encoded(picture(1), "BMP"), encoded(picture(1), "TIFF"), encoded(Image.new("RGB", (90, 90)), "GIF"),
    ]  # fmt: skip
    *none, some = looked_at(*hostile, encoded(picture(1)))
    assert none == [None] * len(hostile)
    assert some is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_a_process_that_dies_or_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    program.write_text("raise SystemExit(1)")
    assert looked_at(b"x" * 1_000_000, b"x") == [None, None]
    monkeypatch.setattr(pictures, "PICTURE_SECONDS", 0.5)
    program.write_text("import time; time.sleep(60)")
    assert looked_at(b"x", b"x" * 1_000_000) == [None, None]


def test_it_knows_no_secret_and_can_write_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    program, written = tmp_path / "program.py", tmp_path / "written"
    real = Path(pictures.__file__).with_name("picture_hash.py").read_text()
    tries = f"""
    import os, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    names = sorted(os.environ)
    try:
        with open({str(written)!r}, "wb") as file:
            file.write(b"kept")
    except OSError:
        names.append("no file")
    print(json.dumps({{"pdq": repr(names).encode().hex()}}), flush=True)
"""
    program.write_text(real.replace("    _confine()\n", f"    _confine()\n{tries}", 1))
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    (told,) = looked_at(b"x")
    assert told is not None
    assert b"SECRET_KEY" not in told
    assert b"no file" in told
    assert not written.exists() or not written.read_bytes()


def test_a_transparent_picture_is_seen_on_white() -> None:
    clear = picture(1).convert("RGBA")
    clear.putalpha(0)
    assert picture_hash(encoded(clear, "PNG")) == ""
    assert picture_hash(encoded(picture(1), "PNG")) != ""
