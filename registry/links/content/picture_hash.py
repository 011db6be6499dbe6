"""A program of its own that tells pictures apart: PDQ, a perceptual hash of 256 bits, of pictures that nobody trusts.

Started by `pictures.py` as `python -I picture_hash.py`, it reads from its standard input, again and again, a length
(four bytes, big-endian) and so many bytes of a picture, and writes a line of JSON for each: `{"pdq": hex}`, where the
picture has enough structure to tell it by, or `{"pdq": ""}`.

It has no secrets (an empty environment), no way to write a file and little memory, so that a picture made to break a
decoder breaks this process and nothing else. What a picture says of its size is believed before a pixel of it is made.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings

import numpy as np
import pdqhash  # type: ignore[import-untyped]  # the package ships no types
from PIL import Image

MEMORY_BYTES = 768 * 1024**2
MAX_PIXELS = 40_000_000
MIN_QUALITY = 50  # of 100, below which PDQ's authors take a picture for too plain to be told by it
_SIDE = 512  # it looks at 64 by 64 points; what is larger is made smaller first, always in the same way
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


def picture_hash(data: bytes) -> str:
    """The PDQ hash of a picture, 64 hexadecimal digits, or "" where it has none: broken, huge, plain, or no picture."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return ""
            image.draft("RGB", (_SIDE, _SIDE))  # lets a JPEG be decoded small
            # Transparent parts are seen on white, as on most pages.
            page = Image.new("RGBA", image.size, "white")
            page.alpha_composite(image.convert("RGBA"))
            picture = page.convert("RGB")
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
        bits, quality = pdqhash.compute(np.asarray(picture))
    except Exception:  # noqa: BLE001  -- decoders raise what they like for bytes that are made to break them
        return ""
    return np.packbits(bits).tobytes().hex() if quality >= MIN_QUALITY else ""


def _confine() -> None:
    """Let this process write no file, leave no core, and have little memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def main() -> None:
    """Answer until the input ends."""
    _confine()
    source, sink = sys.stdin.buffer, sys.stdout
    while len(head := source.read(4)) == 4:
        length = int.from_bytes(head)
        data = source.read(length)
        if len(data) < length:
            return
        sink.write(json.dumps({"pdq": picture_hash(data)}) + "\n")
        sink.flush()


if __name__ == "__main__":
    main()
