"""Whether trouble is a link's own or its host's, by what else of the host was asked lately."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest
from django.utils import timezone

from registry.lib.safe_http import Headers, Outcome, Refused, Response
from registry.links.checker import _attempts
from registry.links.models import Host, Link
from registry.links.turns import Walk

pytestmark = pytest.mark.django_db


def answer(status: int) -> Response:
    return Response("http://a/", status, Headers(b""), b"", cut=False, address="9.9.9.9", hops=(), seconds=0)


def refused(outcome: Outcome) -> Refused:
    return Refused(outcome, "any", (), 0.0)


@pytest.fixture
def host() -> Host:
    return Host.objects.create(name="a.example.com")


def link(host: Host, path: str, **fields: object) -> Link:
    url = f"http://{host.name}/{path}"
    return Link.objects.create(key=sha256(url.encode()).digest(), url=url, host=host, **fields)


def of_host(host: Host, *results: Response | Refused) -> list[int]:
    """Of links of the host that were asked in one batch, which of their failures count as the host's."""
    walks = []
    for place, result in enumerate(results):
        one = link(host, str(place))
        walks.append(Walk(one, one.url, result=result, at=timezone.now()))
    return [attempt.standing.host_failures for attempt in _attempts(walks, {})]


TROUBLE: list[Response | Refused] = [
    answer(500),
    refused(Outcome.RESET),
    refused(Outcome.CONNECT_REFUSED),
    refused(Outcome.TLS_ERROR),
]


def test_where_all_that_was_asked_had_trouble_it_is_the_hosts(host: Host) -> None:
    assert of_host(host, *TROUBLE) == [1, 1, 1, 1]


@pytest.mark.parametrize("good", [answer(200), answer(404), answer(403)])
def test_where_one_link_was_answered_it_is_each_links_own(host: Host, good: Response) -> None:
    assert of_host(host, *TROUBLE, good) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("silence", [Outcome.CONNECT_TIMEOUT, Outcome.DNS_FAILURE])
def test_a_host_that_nobody_can_connect_to_failed_whatever_the_others_say(
    host: Host, silence: Outcome
) -> None:
    assert of_host(host, refused(silence), answer(200)) == [1, 0]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_single_link_speaks_for_its_host(host: Host, trouble: Response | Refused) -> None:
    assert of_host(host, trouble) == [1]


@pytest.mark.parametrize(
    ("hours", "state", "counts"),
    [(1, "alive", 0), (71, "alive", 0), (71, "moved", 0), (73, "alive", 1), (1, "failing", 1), (1, "unverifiable", 1)],
)  # fmt: skip
def test_unless_another_of_its_links_answered_within_three_days(
    host: Host, hours: int, state: str, counts: int
) -> None:
    link(host, "other", state=state, checked_at=timezone.now() - timedelta(hours=hours))
    assert of_host(host, answer(500)) == [counts]


def test_what_it_said_of_itself_before_is_no_other_links_word(host: Host) -> None:
    one = link(host, "1", state="alive", checked_at=timezone.now() - timedelta(hours=1))
    walk = Walk(one, one.url, result=answer(500), at=timezone.now())
    assert _attempts([walk], {})[0].standing.host_failures == 1


def test_links_of_other_hosts_say_nothing(host: Host) -> None:
    other = Host.objects.create(name="b.example.com")
    link(other, "1", state="alive", checked_at=timezone.now())
    assert of_host(host, answer(500)) == [1]
