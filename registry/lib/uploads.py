"""A limit on what a browser or a program may send, before it fills the disk.

Who signed in may send shards; everybody else sends at most a list of items. A form is read before its token is checked,
so without the second limit anybody could have every page write files of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from registry.lib.errors import Refused

if TYPE_CHECKING:
    from django.http import HttpRequest

# The longest list of items that a report takes, and a little more.
ANYBODY = 33 * 1024**2
_MARK = "expunge.upload_over_limit"


class LimitedUpload(FileUploadHandler):
    """First in FILE_UPLOAD_HANDLERS: stops at `upload_limit` over all files of one request.

    The rest of the body is read and dropped, so that the sender gets an answer; `check_upload` gives it.
    """

    received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:  # noqa: ARG002  -- Django's signature
        """Count, and pass on to the next handler."""
        self.received += len(raw_data)
        if self.request is None or self.received > upload_limit(self.request):
            if self.request is not None:
                self.request.META[_MARK] = True
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> Any:  # noqa: ARG002  -- Django's signature
        """Leave the file to the next handler."""
        return None


def upload_limit(request: HttpRequest) -> int:
    """Bytes that whoever asks may upload at once."""
    user = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    return settings.UPLOAD_MAX_BYTES if signed_in else min(settings.UPLOAD_MAX_BYTES, ANYBODY)


def check_upload(request: HttpRequest) -> None:
    """Raise Refused when the request's files were cut off at the limit; call after its body was parsed."""
    if request.META.get(_MARK):
        limit = upload_limit(request)
        advice = (
            "Ask the operator to place them under an import folder, then register that path."
            if limit == settings.UPLOAD_MAX_BYTES
            else "Split them and send the parts one after the other."
        )
        raise Refused(
            f"The files are larger than the limit of {limit:,} bytes for one upload. Nothing was kept. {advice}"
        )
