"""Which versions are flagged as still served, and how many places of one are watched."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from registry.datasets.models import VersionStatus
from registry.lib.errors import Refused
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.distributions.selectors import places, warnings
from registry.links.models import Host, Link
from registry.links.states import LinkState
from tests.registry.links.distributions.test_distributions import add, stands

if TYPE_CHECKING:
    from registry.accounts.models import User
    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]
OUT = (VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED)


@pytest.mark.parametrize("status", [one for one in VersionStatus if one is not VersionStatus.DRAFT])
@pytest.mark.parametrize("state", [LinkState.ALIVE, LinkState.MOVED, LinkState.DEAD, LinkState.UNVERIFIABLE])
def test_only_what_is_out_of_use_and_served_is_flagged(
    version: Version, maintainer: User, status: VersionStatus, state: LinkState
) -> None:
    add(maintainer, version)
    stands(version, state, status)
    [place] = places(maintainer, version.dataset)
    flagged = status in OUT and state in {LinkState.ALIVE, LinkState.MOVED}
    assert place.is_flagged is flagged
    assert len(warnings([place])) == flagged


def test_a_hundred_places_of_a_version_are_watched_and_no_more(version: Version, maintainer: User) -> None:
    host = Host.objects.create(name="mirrors.example.com")
    urls = [f"https://mirrors.example.com/{number}" for number in range(99)]
    links = Link.objects.bulk_create(
        Link(key=sha256(url.encode()).digest(), url=url, host=host) for url in urls
    )
    Distribution.objects.bulk_create(
        Distribution(version=version, link=link, kind=DistributionKind.MIRROR) for link in links
    )
    add(maintainer, version, "https://mirrors.example.org/100")
    with pytest.raises(Refused, match="At most 100 places"):
        add(maintainer, version, "https://mirrors.example.org/101")
    assert Distribution.objects.count() == 100
