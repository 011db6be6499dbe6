"""Failures of TLS that may as well be ours are told apart from those that are the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Outcome, Refused
from tests.registry.lib.safe_http.servers import WebServer, answers
from tests.registry.lib.safe_http.test_tls import Authority, ask

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from tests.registry.lib.safe_http.servers import NameServer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "trusted")


def why(names: NameServer, authority: Authority, context: ssl.SSLContext) -> str:
    with WebServer(answers(), tls=context) as server:
        result = ask(server, names, authority)
        assert isinstance(result, Refused)
        assert result.outcome == Outcome.TLS_ERROR
        assert server.requests == []
    return result.rule


def test_a_chain_without_its_issuer_is_incomplete(
    names: NameServer, authority: Authority, tmp_path: Path
) -> None:
    intermediate = Authority(tmp_path, "intermediate")
    assert why(names, authority, intermediate.context("site.example.com")) == "incomplete_chain"


def test_an_expired_certificate_and_one_of_another_name_are_the_servers_own_fault(
    names: NameServer, authority: Authority
) -> None:
    expired = authority.context("site.example.com", days_ago=1)
    assert why(names, authority, expired) == "curl_60"
    assert why(names, authority, authority.context("other.example.com")) == "curl_60"
