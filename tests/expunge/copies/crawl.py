"""Copies made by the real img2dataset, downloading small images from a server of our own on the loopback."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import zlib
from collections import Counter
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

IMG2DATASET = Path(sys.executable).with_name("img2dataset")
COUNT = 25
PER_SHARD = 10
BROKEN = {4, 17}
"""Rows whose image the server does not have."""


def image_bytes(number: int) -> bytes:
    """A small PNG of one colour, another for each number."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = b"".join(b"\0" + bytes([number * 9 % 256, number, 255 - number]) * 24 for _ in range(24))
    header = struct.pack(">IIBBBBB", 24, 24, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Images:
    """The server: it counts what it is asked for."""

    def __init__(self, port: int, asked: Counter[int]) -> None:
        self._port = port
        self.asked = asked

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self._port}/{number}.png"


@contextmanager
def serving() -> Iterator[Images]:
    asked: Counter[int] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.strip("/").removesuffix(".png"))
            asked[number] += 1
            if number in BROKEN:
                self.send_error(404)
                return
            body = image_bytes(number)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Images(server.server_address[1], asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_list(path: Path, images: Images) -> Path:
    """The list of links, as a dataset publishes it; two rows share a caption, and each has its MD5."""
    rows = range(COUNT)
    table = pa.table(
        {
            "url": [images.url(row) for row in rows],
            "caption": [f"caption {row // 2}" for row in rows],
            "image_md5": [md5(image_bytes(row)).hexdigest() for row in rows],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def download(source: Path, output: Path, output_format: str, **options: Any) -> str:
    """Run img2dataset to its end, or resume it; what it printed."""
    settings = {
        "url_list": source,
        "output_folder": output,
        "output_format": output_format,
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "image_size": 16,
        "processes_count": 1,
        "thread_count": 4,
        "number_sample_per_shard": PER_SHARD,
        "enable_wandb": False,
        **options,
    }
    environment = {
        **os.environ,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "WANDB_MODE": "disabled",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [IMG2DATASET, *(f"--{name}={value}" for name, value in settings.items())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said, said
    return said
