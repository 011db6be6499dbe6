"""Kinds of domain, the strata of a panel: rare ones are drawn more densely, so that something can be said of each.

Which kind a link is of follows from the name of its host, so all links of a host are of one kind and nothing is kept of it.
`.com` is the largest in most web datasets; country codes tell where one comes from; what has no domain name can neither
expire nor be asked of a registry. They die at different rates, and each can be read without a list beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from django.db import models
from django.db.models import Case, Q, When

from expunge.keys import url_host
from registry.links.estimates import mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from registry.links.models import Panel

    Codes = npt.NDArray[np.uint8]  # places in STRATA

NO_LIMIT = 2**64  # of a stratum that a panel holds every link of
MAX_HOST = 255  # characters, as many as a name can have


class Stratum(models.TextChoices):
    """What a link's host is called by."""

    COM = "com", ".com"
    GENERIC = "generic", "Other generic (.net, .org, new ones)"
    COUNTRY = "country", "Country codes (.de, .jp, .io)"
    NONE = "none", "No domain name"


STRATA = tuple(Stratum)


def link_host(url: bytes) -> str | None:
    """The host that a row's URL leads to; None where it leads to none that can be asked for."""
    try:
        host = None if b"\0" in url else url_host(url.decode())
    except UnicodeDecodeError:
        return None
    return host if host and len(host) <= MAX_HOST else None


def stratum_of(host: str | None) -> Stratum:
    """The kind of a host, by its name as in the key `host.c1`: that of its last label.

    A country's name in its own script (`xn--…`) counts as generic: which of those are countries is known from a list only.
    """
    name, _, last = (host or "").removesuffix(".").rpartition(".")
    # An address ends in a number or a bracket, a single label is nobody's domain.
    if not name or not last or last.endswith("]") or last.isdecimal():
        return Stratum.NONE
    if last == "com":
        return Stratum.COM
    return Stratum.COUNTRY if len(last) == 2 and last.isalpha() else Stratum.GENERIC


# Only what is told beyond doubt, as in `expunge.keys`: no port, no user, no label that WHATWG might read otherwise, and no
# more characters in all than a host may have.
_HOST = r"^https?://(?:[a-z0-9_]+(?:-[a-z0-9_]+)*\.)+"
_REST = r"(?:[/?#][ -~]*)?$"
_SURE = (
    (Stratum.COM, f"{_HOST}com{_REST}"),
    (Stratum.COUNTRY, f"{_HOST}[a-z][a-z]{_REST}"),
    (Stratum.GENERIC, f"{_HOST}[a-z]+{_REST}"),
)


def strata_of(urls: pa.Array) -> Codes:
    """The kinds that URLs (large_binary, no nulls) lead to, as places in STRATA: `stratum_of` the `link_host` of each."""
    found = np.zeros(len(urls), np.uint8)
    left = np.arange(len(urls))
    for stratum, pattern in _SURE:
        asked = urls.take(pa.array(left)) if len(left) < len(urls) else urls
        sure = pc.and_(
            pc.match_substring_regex(asked, pattern), pc.less_equal(pc.binary_length(asked), MAX_HOST)
        ).to_numpy(zero_copy_only=False)
        found[left[sure]] = STRATA.index(stratum)
        left = left[~sure]
    others = [stratum_of(link_host(url)) for url in urls.take(pa.array(left)).to_pylist()]
    found[left] = [STRATA.index(one) for one in others]
    return found


@dataclass(frozen=True, slots=True)
class PanelLinks:
    """All that a panel drew: of each link its host (an id), its kind, and how much it counts for; all parallel.

    `limits` say below which number the panel holds every link of a kind; none where that is not known.
    """

    hosts: npt.NDArray[np.int64]
    strata: Codes
    weights: npt.NDArray[np.float64]
    limits: Mapping[Stratum, int]

    @property
    def is_whole(self) -> bool:
        """Whether the panel is no sample: the version has no more links."""
        return bool(self.limits) and min(self.limits.values()) == NO_LIMIT

    def part(self, holds: npt.NDArray[np.bool_]) -> float:
        """The share of all links of the version, from 0 to 1, for which something holds."""
        return mean(holds, self.weights) if len(holds) else 0.0


def panel_links(panel: Panel, hosts: Sequence[tuple[int, Sequence[int]]]) -> PanelLinks:
    """What a panel drew, from links in groups: the place in STRATA of each group, and the id of the host of each of its links.

    What leads to no host comes behind the links, `panel.urls_unusable` of them: it shares its host with no other.
    """
    unusable = panel.urls_unusable
    groups = [*hosts, (STRATA.index(Stratum.NONE), range(-unusable, 0))]
    ids = [np.array(of_group, np.int64) for _, of_group in groups]
    strata = np.repeat(np.array([place for place, _ in groups], np.uint8), list(map(len, ids)))
    limits = panel_limits(panel, len(strata))
    return PanelLinks(
        hosts=np.concatenate(ids),
        strata=strata,
        weights=link_weights(strata, limits),
        limits=limits,
    )


def stratum_place(name: str) -> Case:
    """The place in STRATA of the kind of a host, by the field with its name: `stratum_of` where the database reads it."""
    of_com = Q(**{f"{name}__endswith": ".com"}) & ~Q(**{name: ".com"})
    shapes = (
        (Stratum.COUNTRY, r".\.[A-Za-z]{2}\.?$"),
        (Stratum.COM, r".\.com\.$"),
        (Stratum.NONE, r"^[^.]*\.?$|^\.[^.]*\.?$|[.\]]\.$|\]$|\.[0-9]+\.?$"),
    )
    return Case(
        When(of_com, then=STRATA.index(Stratum.COM)),
        *(When(**{f"{name}__regex": shape}, then=STRATA.index(kind)) for kind, shape in shapes),
        default=STRATA.index(Stratum.GENERIC),
        output_field=models.IntegerField(),
    )


def panel_limits(panel: Panel, drawn: int) -> dict[Stratum, int]:
    """Below which number a panel that drew so many URLs holds every link of a kind; none where that is not known.

    Panels that were drawn before there were strata have one limit for all of them, and did not write it down.
    """
    if panel.limits:
        return {stratum: int(panel.limits[stratum.value]) for stratum in STRATA}
    return dict.fromkeys(STRATA, NO_LIMIT) if drawn < panel.size else {}


def link_weights(strata: Codes, limits: Mapping[Stratum, int]) -> npt.NDArray[np.float64]:
    """How much each link counts for: 1 for those that were drawn least densely, 1/8 for those drawn eight times as densely.

    Where no limits are known all were drawn alike.
    """
    least = min(limits.values(), default=NO_LIMIT)
    return np.array([least / limits.get(stratum, least) for stratum in STRATA], np.float64)[strata]
