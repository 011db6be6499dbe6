from __future__ import annotations

import pytest

from registry.links.opt_outs.files import OPT_OUT, SUBDOMAINS, read_opt_out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"expunge: opt-out", {OPT_OUT}),
        (b"\xef\xbb\xbfEXPUNGE: Opt-Out \r\n\r\n", {OPT_OUT}),
        (b"# ours\nexpunge: opt-out # all of it\ninclude-subdomains\n", {OPT_OUT, SUBDOMAINS}),
    ],
)
def test_what_the_owner_says(body: bytes, said: set[str]) -> None:
    assert read_opt_out(body) == said


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"include-subdomains",
        b"# expunge: opt-out",
        b"<html>expunge: opt-out</html>",
        b"<p>\nexpunge: opt-out\n</p>",  # a page that shows what others wrote
        b"expunge: opt-out\nUser-agent: *",
        b"\xff\xfe\0",
    ],
)
def test_anything_else_says_nothing(body: bytes) -> None:
    assert read_opt_out(body) is None
