"""Serving one file of a release so that a large one can be resumed: ETag, length, and one byte range."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.http import FileResponse, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header, parse_etags, quote_etag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from takedowns.releases.files import ReleaseFile

CHUNK = 1 << 18
YEAR = 31_536_000
# Nineteen digits are more than any file has bytes; Python refuses to read thousands of them as a number.
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


class Unsatisfiable(Exception):  # noqa: N818  -- it names what the range is
    """A range that lies outside the file: HTTP 416."""


def range_of(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for, or None where the whole file is the answer.

    Several ranges, other units and nonsense are ignored, as RFC 9110 allows. Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip().lower())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:  # the last n bytes
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end:
        raise Unsatisfiable
    return start, end


def file_response(request: HttpRequest, file: ReleaseFile, *, public: bool) -> HttpResponseBase:
    """Answer with the file or the range that is asked for. A published file never changes, and caches may know."""
    etag = quote_etag(file.sha256)
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        return _described(HttpResponseNotModified(), etag, public=public)
    try:
        # A range is only good for the file that the client began with.
        same = request.headers.get("If-Range", etag) == etag
        wanted = range_of(request.headers.get("Range", ""), file.bytes) if same else None
    except Unsatisfiable:
        outside = HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.bytes}"})
        return _described(outside, etag, public=False)
    response: StreamingHttpResponse
    if wanted is None:
        response = FileResponse(file.location.open("rb"), content_type="application/octet-stream")
        response.block_size = CHUNK
        length = file.bytes
    else:
        start, end = wanted
        length = end - start + 1
        response = StreamingHttpResponse(
            _chunks(file.location, start, length), status=206, content_type="application/octet-stream"
        )
        response["Content-Range"] = f"bytes {start}-{end}/{file.bytes}"
    response["Content-Length"] = str(length)
    name = file.path.rsplit("/", 1)[-1]
    response["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=name) or "attachment"
    )
    return _described(response, etag, public=public)


def _described(response: HttpResponseBase, etag: str, *, public: bool) -> HttpResponseBase:
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = f"public, max-age={YEAR}, immutable" if public else "private, no-store"
    return response


def _chunks(location: Path, start: int, length: int) -> Iterator[bytes]:
    # Opened when the first byte is wanted, so that an answer nobody reads leaves no open file.
    with location.open("rb") as opened:
        opened.seek(start)
        while length > 0:
            chunk = opened.read(min(CHUNK, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk
