"""The file by which the owner of a host opts it out: a few lines of text at a place where only he can put one.

    expunge: opt-out
    include-subdomains

The second line is for those who want their subdomains left alone too. Nothing else may stand there but comments (`#`), so
that a host that shows the same page under every address has said nothing.
"""

from __future__ import annotations

from registry.lib.safe_http import Limits

PATH = "/.well-known/expunge-opt-out.txt"
OPT_OUT, SUBDOMAINS = "expunge: opt-out", "include-subdomains"
LIMITS = Limits(body_bytes=4 * 1024, redirects=0)


def read_opt_out(body: bytes) -> set[str] | None:
    """What a file says, OPT_OUT and perhaps SUBDOMAINS; None where it is no such file."""
    text = body.decode("utf-8-sig", errors="replace")
    lines = [line.partition("#")[0].strip().lower() for line in text.splitlines()]
    said = {line for line in lines if line}
    return said if OPT_OUT in said and said <= {OPT_OUT, SUBDOMAINS} else None
