"""Perceptual hashes of pictures, made by a confined process of its own (`picture_hash.py`), one picture at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PICTURE_SECONDS = 20.0  # for one picture, the start of the process included
_PROGRAM = Path(__file__).with_name("picture_hash.py")


class Pictures:
    """Hashes pictures within one event loop; an async context manager. The process starts with the first picture."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def pdq(self, data: bytes) -> bytes | None:
        """The PDQ hash (32 bytes) of a picture; None where it has none or the process did not survive it."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(PICTURE_SECONDS):
                    answer = await self._ask(data)
            except (TimeoutError, OSError):
                answer = b""
            if not answer.endswith(b"\n"):  # it died, or was too slow: the next picture gets a new one
                await self._end()
                return None
            return bytes.fromhex(json.loads(answer)["pdq"]) or None

    async def _ask(self, data: bytes) -> bytes:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", str(_PROGRAM),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env={"OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        source, sink = self._process.stdin, self._process.stdout
        assert source is not None
        assert sink is not None
        source.write(len(data).to_bytes(4) + data)
        await source.drain()
        return await sink.readline()

    async def _end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
