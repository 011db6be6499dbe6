from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from registry.checks import check_settings
from registry.embedded.servers import ROOT
from registry.lib.safe_http import Policy
from registry.lib.safe_http.policy import read_test_targets

if TYPE_CHECKING:
    from pytest_django import Settings


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """The settings alone, as a server would import them."""
    return subprocess.run(
        [sys.executable, "-c", "from registry import settings; print(settings.LINKS_TEST_TARGETS)"],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("mode", [{}, {"EXPUNGE_MODE": "production"}], ids=["by default", "named"])
def test_production_refuses_to_start_with_test_targets(mode: dict[str, str]) -> None:
    done = start(LINKS_TEST_TARGETS="127.0.0.1:8099", **mode)
    assert done.returncode != 0
    assert "LINKS_TEST_TARGETS" in done.stderr
    assert start(LINKS_TEST_TARGETS="", **mode).stdout == "[]\n"


@pytest.mark.parametrize("mode", ["demo", "test"])
def test_the_demo_and_the_tests_may_have_them(mode: str) -> None:
    done = start(EXPUNGE_MODE=mode, LINKS_TEST_TARGETS="127.0.0.1:8099,[::1]:80")
    assert done.stdout == "['127.0.0.1:8099', '[::1]:80']\n"


def test_the_check_and_the_door_refuse_them_too(settings: Settings) -> None:
    settings.LINKS_TEST_TARGETS = ["127.0.0.1:8099"]
    settings.MODE = "production"
    assert "registry.E010" in {error.id for error in check_settings()}
    with pytest.raises(ValueError, match="LINKS_TEST_TARGETS"):
        Policy.from_settings()


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "10.0.0.1:80", "8.8.8.8:80", "localhost:80", "::1", "[::1]", ":80",
     "0.0.0.0:80", "127.1:80", "[::ffff:127.0.0.1]:80", "127.0.0.1:80/", "127.0.0.0/8:80"],
)  # fmt: skip
def test_only_loopback_with_a_port_can_be_a_target(text: str, settings: Settings) -> None:
    with pytest.raises(ValueError, match="address"):
        read_test_targets([text])
    settings.LINKS_TEST_TARGETS = [text]
    assert "registry.E011" in {error.id for error in check_settings()}


@pytest.mark.parametrize(
    "text", ["dns.example.com", "8.8.8.8:", "8.8.8.8:99999", "8.8.8", "[::1", "127.0.0.1:x"]
)
def test_a_name_server_is_an_address(text: str, settings: Settings) -> None:
    settings.NAME_SERVERS = [text]
    assert "registry.E011" in {error.id for error in check_settings()}


def test_the_policy_is_that_of_the_settings(settings: Settings) -> None:
    settings.SITE_URL = "https://expunge.example.org"
    settings.ALLOWED_HOSTS = [".takedowns.org", "*", "Other.org"]
    settings.NAME_SERVERS = ["192.0.2.53", "192.0.2.54:5353", "2001:db8::53", "[2001:db8::53]:5353"]
    settings.LINKS_TEST_TARGETS = ["127.0.0.1:8099", "[0:0:0:0:0:0:0:1]:8099"]
    policy = Policy.from_settings()
    assert policy.user_agent == "Expunge (+https://expunge.example.org)"
    assert policy.name_servers == tuple(settings.NAME_SERVERS)
    assert policy.test_targets == {("127.0.0.1", 8099), ("::1", 8099)}
    for name in ("expunge.example.org", "www.takedowns.org", "takedowns.org", "other.org"):
        assert policy.is_own_name(name)
    assert not policy.is_own_name("example.org")
    assert check_settings() == []


def test_a_target_opens_its_own_port_only() -> None:
    policy = Policy(test_targets=read_test_targets(["127.0.0.1:8099"]))
    assert policy.refuses("127.0.0.1", 8099) is None
    assert policy.refuses("127.0.0.1", 80) == "loopback"
    assert policy.refuses("127.0.0.2", 8099) == "loopback"
    assert policy.refuses("8.8.8.8", 8099) == "port"
    assert policy.refuses("8.8.8.8", 443) is None
