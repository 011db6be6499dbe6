"""A worker that is killed in the middle of a census loses no domain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.domains.models import Domain, DomainState
from registry.links.tasks import domains_wake
from tests.processes import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from registry.embedded import Servers
    from tests.registry.links.conftest import Names


@pytest.mark.usefixtures("transactional_db", "store_folder")
def test_a_killed_census_leaves_leases_that_run_out_and_is_done_again(
    servers: Servers,
    resolvers: Names,
    make_panel: Callable[[Sequence[str]], Version],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAME_SERVERS", resolvers.first.address)  # for the worker's own process
    monkeypatch.setenv("RDAP_BOOTSTRAP", "")
    names = [f"d{number}.com" for number in range(5)]
    make_panel([f"https://x.{name}/1" for name in names])
    for name in names:
        resolvers.know(name)
    resolvers.first.silent = True
    with Worker(servers) as worker:
        domains_wake.delay()
        worker.wait_for(lambda: Domain.objects.exclude(lease=None).count() == 5, 60)
        worker.kill()
    assert set(Domain.objects.values_list("state", "checked_at")) == {("unchecked", None)}
    domains_wake()  # its leases still hold, so nobody is sent
    resolvers.first.silent = False
    with Worker(servers) as worker:
        Domain.objects.update(lease_until=timezone.now() - timedelta(seconds=1))  # the minutes that they last
        domains_wake.delay()
        worker.wait_for(lambda: not Domain.objects.exclude(state=DomainState.PRESENT).exists(), 60)
        worker.wait_for(lambda: not Domain.objects.exclude(lease=None).exists())
