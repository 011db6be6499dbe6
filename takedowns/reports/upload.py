"""Reading the lines of a report from what somebody pasted or attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.lib.errors import Refused

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

# 100,000 lines of 320 characters; the settings hold the body of a request to the same size.
MAX_BYTES = 32 * 1024**2


def lines_of(text: str) -> list[str]:
    """Split text at line breaks alone: other characters that Python breaks lines at may be part of a URL."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def lines_of_file(file: UploadedFile[bytes]) -> list[str]:
    """Read an attached list, an item a line, in UTF-8 with or without BOM. Raises Refused naming what is wrong."""
    if file.size is None or file.size > MAX_BYTES:
        raise Refused(
            f"The file is larger than {MAX_BYTES // 1024**2} MB. Split it and send the parts one after the other."
        )
    try:
        return lines_of(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refused(
            f"The file is not text in UTF-8: byte {error.start + 1:,} cannot be read. Save it as a plain text file, an "
            "item a line; a spreadsheet or an archive is not read."
        ) from None
