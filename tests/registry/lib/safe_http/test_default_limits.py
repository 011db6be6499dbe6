"""Where bodies and headers end for who names no limit, which names are none, and that libcurl speaks nothing but HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pycurl
import pytest

from registry.lib.safe_http import Outcome, Policy, Stop, check
from registry.lib.safe_http.handles import Handle
from tests.registry.lib.safe_http.asking import ask, bad, good
from tests.registry.lib.safe_http.servers import WebServer, answers

if TYPE_CHECKING:
    from pathlib import Path

    from registry.lib.safe_http.results import Method


@pytest.mark.parametrize(("bytes_of_body", "cut"), [(65_536, False), (65_537, True)])
def test_a_body_is_cut_behind_64_kib(bytes_of_body: int, *, cut: bool) -> None:
    with WebServer(answers(b"x" * bytes_of_body)) as server:
        result = good(ask(server))
        assert (len(result.body), result.cut) == (65_536, cut)


@pytest.mark.parametrize(("filler", "taken"), [(32_000, True), (33_000, False)])
def test_headers_end_at_32_kib(filler: int, *, taken: bool) -> None:
    lines = "".join(f"X-{n:03}: {'y' * 91}\r\n" for n in range(filler // 100))  # of 100 bytes each
    with WebServer(answers(b"x", headers=lines)) as server:
        result = ask(server)
    if taken:
        assert good(result).status == 200
    else:
        assert bad(result).outcome == Outcome.TOO_LARGE


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "dict", "telnet", "smb", "tftp", "ws"])
def test_libcurl_itself_speaks_nothing_but_http(method: Method, scheme: str, tmp_path: Path) -> None:
    """The gate refuses these; should it ever let one pass, the handle does not."""
    (tmp_path / "secret").write_text("secret")
    handle = Handle(Policy(), method)
    place = str(tmp_path / "secret") if scheme == "file" else "127.0.0.1:1/x"
    handle.curl.setopt(pycurl.URL, f"{scheme}://{place}")
    with pytest.raises(pycurl.error) as failed:
        handle.curl.perform()
    assert failed.value.args[0] == pycurl.E_UNSUPPORTED_PROTOCOL
    assert not handle.body
    handle.curl.close()


@pytest.mark.parametrize(
    "top",
    ["localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "onion", "i2p", "arpa", "test",
     "invalid", "example", "alt"],
)  # fmt: skip
def test_a_name_that_the_public_dns_does_not_have_is_not_asked_for(top: str) -> None:
    for host in (f"a.{top}", f"a.b.{top.upper()}", f"xn--mnchen-3ya.{top}"):
        with pytest.raises(Stop) as stopped:
            check(f"http://{host}/", Policy())
        assert (stopped.value.outcome, stopped.value.rule) == (Outcome.SSRF_BLOCKED, "inner_name")
    assert check(f"http://{top}.com/", Policy()).host == f"{top}.com"


def test_a_name_of_one_label_is_none() -> None:
    for url in ("http://com/", "http://intranet/", "http://example.com./"):
        with pytest.raises(Stop):
            check(url, Policy())
