"""Pictures that tests make, and servers that show them."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import socket

    from tests.registry.lib.safe_http.servers import Handler


def picture(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """A picture with some structure, the same for the same seed."""
    points = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(points).resize((width, height), Image.Resampling.BICUBIC)


def noise(seed: int, side: int = 400) -> Image.Image:
    """A picture that no format makes small."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, packed: bytes) -> bytes:
    """A PNG that says what it likes of itself."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def bomb() -> bytes:
    """A small file that holds 900 million points, of which this process makes none."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(3_751 * 1_000)) for _ in range(30)) + packer.flush()
    return png(30_000, 30_000, 1, 0, packed)


def serves(body: bytes, media_type: str = "image/jpeg", *, headers: str = "", get_only: str = "") -> Handler:
    """A file on a server that knows ranges. `get_only` are headers that come with GET alone."""

    def handle(connection: socket.socket, request: bytes) -> None:
        is_get = request.startswith(b"GET")
        asked = re.search(rb"(?i)\r\nrange: bytes=(\d+)-(\d+)", request)
        part, status, more = body, "200 OK", headers + (get_only if is_get else "")
        if asked and is_get and body:
            part = body[int(asked[1]) : int(asked[2]) + 1]
            status = "206 Partial Content"
            first = int(asked[1])
            more += f"Content-Range: bytes {first}-{first + len(part) - 1}/{len(body)}\r\n"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(part)}\r\n{more}\r\n"
        connection.sendall(head.encode("latin-1") + (part if is_get else b""))

    return handle


def on_get(handler: Handler, otherwise: Handler) -> Handler:
    """One answer to GET and another to everything else."""
    return lambda connection, request: (handler if request.startswith(b"GET") else otherwise)(
        connection, request
    )
