from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from django.utils import timezone
from rest_framework.throttling import ScopedRateThrottle

from registry.accounts.models import Role
from registry.links.models import Host, Link
from registry.links.opt_outs.services import opt_outs_waiting
from tests.factories import make_member, make_organisation, make_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client
    from pytest_django import Settings

    from registry.datasets.models import Version

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]
ABOUT = "/about/links/"


def ask(client: Client, host: str) -> tuple[int, str]:
    answer = client.post(ABOUT, {"host": host})
    text = client.get(ABOUT).content.decode() if answer.status_code == 302 else answer.content.decode()
    return answer.status_code, text


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("links@example.org", 'href="mailto:links@example.org"'),
        ("https://example.org/contact", 'href="https://example.org/contact"'),
        ("", "has named no address"),
    ],
)
def test_the_page_names_whom_to_write_to(client: Client, settings: Settings, contact: str, link: str) -> None:
    settings.LINKS_CONTACT = contact
    text = client.get(ABOUT).content.decode()
    assert link in text
    assert "/.well-known/expunge-opt-out.txt" in text
    assert "include-subdomains" in text


@pytest.mark.parametrize(
    "given", ["img.example.com", " IMG.example.com ", "https://img.example.com/x?y#z", "img.example.com."]
)
def test_an_owner_names_his_host_as_he_likes_and_nobody_is_contacted_meanwhile(
    client: Client, make_panel: MakePanel, given: str
) -> None:
    make_panel(["https://img.example.com/1"])
    with patch("registry.links.opt_outs.services._read") as read:
        assert ask(client, given)[0] == 302
        assert not read.called
    assert [host.name for host in opt_outs_waiting()] == ["img.example.com"]


def test_the_answer_does_not_tell_whether_links_lead_there(client: Client, make_panel: MakePanel) -> None:
    make_panel(["https://one.example.com/1"])
    told = []
    for name in ("one.example.com", "two.example.com", "one.example.com"):
        status, text = ask(client, name)
        told.append((status, re.sub(r'csrfmiddlewaretoken" value="\w+"', "", text).replace(name, "…")))
    assert "Thank you. If links lead to …" in told[0][1]
    assert told[0] == told[1] == told[2]
    assert list(Host.objects.values_list("name", flat=True)) == ["one.example.com"]


@pytest.mark.parametrize(
    "given", ["", " ", "ex ample.com", "\0", "a" * 600, f"{'a.' * 130}com", "javascript:alert(1)", "https://"]
)
def test_what_is_no_host_is_refused(client: Client, given: str) -> None:
    assert ask(client, given)[0] == 400
    assert not Host.objects.exists()


def test_one_client_names_only_so_many(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"opt_outs": "2/hour"})
    assert [ask(client, f"h{n}.example.com")[0] for n in range(4)] == [302, 302, 429, 429]
    assert client.get(ABOUT).status_code == 200


def test_an_operator_opts_a_host_out_on_its_page_and_others_see_no_such_thing(
    client: Client, make_panel: MakePanel
) -> None:
    version = make_panel(["https://img.example.com/1", "https://a.img.example.com/1"])
    Link.objects.update(status=200, checked_at=timezone.now(), state="alive")
    page, act = "/hosts/img.example.com/", "/hosts/img.example.com/opt-out/"
    assert act not in client.get(page).content.decode()
    assert client.post(act).status_code == 302  # to the sign-in
    for actor, is_member in (
        (make_member(version.dataset.organisation, Role.STAFF), True),
        (make_member(version.dataset.organisation, Role.MAINTAINER), True),
        (make_member(make_organisation(), Role.APPROVER), False),
    ):
        client.force_login(actor)
        text = client.get(page).content.decode()
        assert act not in text
        assert ("that is for its owner to say" in text) is is_member
        assert client.post(act, {"subdomains": "on"}).status_code == 403
    assert not Host.objects.filter(opted_out_at__isnull=False).exists()
    client.force_login(make_user(is_superuser=True))
    assert act in client.get(page).content.decode()
    assert client.get(act).status_code == 405
    assert client.post(act).status_code == 302
    text = client.get(page).content.decode()
    assert "Never ask a host below img.example.com" in text
    assert '<input type="hidden" name="subdomains" value="on">' in text
    assert client.post(act, {"subdomains": "on"}).status_code == 302
    text = client.get(page).content.decode()
    assert "It is not asked any more." in text
    assert "for every host below it too" in text
    assert act not in text
    assert Host.objects.filter(opted_out_at__isnull=False).count() == 2


def test_an_owner_sees_where_his_file_was_looked_for_and_until_when(
    client: Client, make_panel: MakePanel
) -> None:
    """Whether it was asked for is told nobody: who is excluded is not asked, and nobody learns who is."""
    make_panel(["https://img.example.com/1"])
    now = timezone.now()
    Link.objects.update(status=200, checked_at=now, state="alive")
    page = "/hosts/img.example.com/"
    assert "once an hour until" not in client.get(page).content.decode()
    assert "stands on http" in ask(client, "img.example.com")[1]
    told = []
    for field in ("opt_out_tried_at", "opt_out_read_at"):
        Host.objects.update(**{field: now})
        told.append(client.get(page).content.decode())
    assert "https://img.example.com/.well-known/expunge-opt-out.txt" in told[0]
    assert "once an hour until" in told[0]
    assert told[0] == told[1]
    Host.objects.update(opted_out_at=now)
    assert "once an hour until" not in client.get(page).content.decode()
