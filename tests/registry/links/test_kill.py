"""A worker that is killed in the middle of a batch loses no link, and at most that batch is asked again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.models import Host, Link, Observation
from registry.links.tasks import links_check, links_wake
from tests.processes import Worker
from tests.registry.links.test_checker import A, B, polite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from registry.embedded import Servers
    from tests.registry.links.conftest import Town


@pytest.mark.usefixtures("transactional_db", "store_folder")
def test_a_killed_worker_loses_no_link_and_repeats_at_most_its_batch(
    servers: Servers,
    town: Town,
    make_panel: Callable[[Sequence[str]], Version],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = ",".join(f"{host}:{port}" for host, port in town.ports.items())
    monkeypatch.setenv("LINKS_TEST_TARGETS", targets)  # for the worker's own process
    urls = [town.url(host, f"/{number}") for host in (A, B) for number in range(4)]
    make_panel(urls)
    with Worker(servers) as worker:
        links_check.delay()
        worker.wait_for(lambda: len(town.log) >= 5)
        worker.kill()
    before = list(town.log)
    assert 0 < len(before) < 10
    assert Link.objects.filter(state="unchecked", due_at__lte=timezone.now()).count() == 8
    assert Host.objects.exclude(lease=None).count() == 2
    assert not Observation.objects.exists()
    links_wake()  # its leases still hold, so nobody is sent for its hosts
    with Worker(servers) as worker:
        Host.objects.update(lease_until=timezone.now() - timedelta(seconds=1))  # the minutes that they last
        links_wake.delay()
        worker.wait_for(lambda: not Link.objects.exclude(state="alive").exists(), 60)
        worker.wait_for(lambda: not Host.objects.exclude(lease=None).exists())
    asked = Counter(one.path for one in town.log if one.host == A and one.method == "HEAD")
    assert set(asked) == {"/0", "/1", "/2", "/3"}
    assert max(asked.values()) <= 2
    assert Observation.objects.count() == 8
    assert polite(before)
    assert polite(town.log[len(before) :])
