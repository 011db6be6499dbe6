"""What became of the links between two versions: a paired comparison of their panels.

Both panels hold the rows with the smallest keyed hash, so below the smaller of their two limits each of them is the same
random sample of the links of either version: a link that both versions list is in both or in neither. What is left to
differ are links that one of them lists and the other does not, and that is a far narrower interval than that of two
samples drawn apart. Each kind of domain (`strata.py`) has its limits, and its links count for what the smaller one says
they stand for. How a link stands is known once for all versions, so the comparison says what listing and unlisting did,
as links stand today. The variance is taken between hosts (`estimates.py` has the reason).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import chain
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Aggregate, BinaryField, Exists, OuterRef, Q

from registry.accounts.permissions import organisations_of
from registry.links.estimates import mean, student
from registry.links.models import Link, Panel, PanelRow
from registry.links.panel import panel_secret
from registry.links.sample import siphash
from registry.links.states import IS_ALIVE, IS_DEAD, shown
from registry.links.strata import NO_LIMIT, STRATA, link_weights, panel_limits, stratum_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from django.db.models import QuerySet

    from registry.datasets.models import Version, Viewer
    from registry.links.strata import Codes, Stratum

    Flags = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the compared links: how many, and how many of them are known to be alive and to be dead."""

    links: int
    alive: int
    dead: int


@dataclass(frozen=True, slots=True)
class Change:
    """The new version's share less the old one's, from -1 to 1, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt about the direction."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two panels compared. `lost` links only the old version lists, `gained` only the new one, `kept` both."""

    old: Version
    new: Version
    kept: Part
    lost: Part
    gained: Part
    alive: Change
    dead: Change
    is_whole: bool  # both panels hold every link, so nothing is estimated

    @property
    def parts(self) -> list[tuple[str, Part]]:
        """The three parts with their names, for people."""
        return [
            ("Listed by both", self.kept),
            (f"Only by {self.old.name}", self.lost),
            (f"Only by {self.new.name}", self.gained),
        ]


def panels_comparable(user: Viewer, version: Version) -> QuerySet[Panel]:
    """Panels of other versions of the dataset that the user may be told of, the newest version first.

    Who is no member is told of imported versions only: between a release and any other lies what was removed, and the
    links that went, by number and by state, would say how much of it was reported for what nobody may know.
    """
    found = (
        Panel.objects.visible_to(user)
        .filter(version__dataset=version.dataset, drawn_at__isnull=False)
        .exclude(version=version)
        .select_related("version__dataset")
        .order_by("-version__dated", "-version__created_at")
    )
    mine = Q(version__dataset__organisation__in=organisations_of(user))
    return found.filter(mine if version.base_id else mine | Q(version__base__isnull=True))


def panel_against(user: Viewer, version: Version, name: str = "") -> Panel | None:
    """The comparable panel of the version of this name, or without one that of the version that comes before this one."""
    panels = panels_comparable(user, version)
    if name:
        return panels.filter(version__name=name).first()
    return panels.filter(version__dated__lt=version.dated).first()


def versions_compare(old: Version, new: Version) -> Comparison | None:
    """Compare the panels of two versions. Two queries for any size.

    None where one has no panel, where they have no link, and where one was drawn under another SECRET_KEY than is used now.
    """
    panels = {
        panel.version_id: panel
        for panel in Panel.objects.filter(version__in=[old, new], drawn_at__isnull=False)
    }
    if len(panels) < 2:
        return None
    found = _sampled(panels[old.pk], panels[new.pk])
    listed = ((old, found.in_old), (new, found.in_new))
    drawn = [_limits(panels[version.pk], found, own) for version, own in listed]
    if not all(_is_within(found, own, of) for (_, own), of in zip(listed, drawn, strict=True)):
        return None
    limits = {stratum: min(of[stratum] for of in drawn) for stratum in STRATA}
    both = found.those(found.is_below(limits))
    in_old, in_new, alive, dead = both.in_old, both.in_new, both.alive, both.dead
    if not in_old.any() or not in_new.any():
        return None

    def part(chosen: Flags) -> Part:
        return Part(int(chosen.sum()), int((chosen & alive).sum()), int((chosen & dead).sum()))

    weights = link_weights(both.strata, limits)
    whole = min(limits.values()) == NO_LIMIT
    return Comparison(
        old=old,
        new=new,
        kept=part(in_old & in_new),
        lost=part(in_old & ~in_new),
        gained=part(in_new & ~in_old),
        alive=change(alive, in_old, in_new, both.hosts, weights, whole=whole),
        dead=change(dead, in_old, in_new, both.hosts, weights, whole=whole),
        is_whole=whole,
    )


def change(
    holds: Flags,
    in_old: Flags,
    in_new: Flags,
    hosts: Numbers,
    weights: npt.NDArray[np.float64] | None = None,
    *,
    whole: bool = False,
) -> Change:
    """How the share of links for which something holds differs between two samples that share links.

    All are parallel, a link each; each sample has at least one. `weights` say how much each counts for, the same where
    they are left out.
    """
    weights = np.ones(len(holds)) if weights is None else weights
    of_old, of_new = in_old * weights, in_new * weights
    old_total, new_total = float(of_old.sum()), float(of_new.sum())
    old, new = mean(holds[in_old], weights[in_old]), mean(holds[in_new], weights[in_new])
    value = new - old
    if whole:
        return Change(value, value, value)
    # What each link adds to the difference; they add up to nothing, and links of one host do so together.
    adds = of_new * (holds - new) / new_total - of_old * (holds - old) / old_total
    _, cluster = np.unique(hosts, return_inverse=True)
    count = int(cluster.max()) + 1
    if count < 2:
        return Change(value, -1.0, 1.0)
    of_host = np.bincount(cluster, weights=adds)
    deviation = sqrt(float(of_host @ of_host) * count / (count - 1))
    # What was not seen in n links may still be three in n, and who saw one is no surer than who saw none.
    told = min(old_total**2 / float(of_old @ of_old), new_total**2 / float(of_new @ of_new))
    half = max(student(count - 1) * deviation, 3 / told)
    return Change(value, max(-1.0, value - half), min(1.0, value + half))


@dataclass(frozen=True, slots=True)
class _Sampled:
    """The links of two panels; all parallel. `numbers` are those by which they were drawn."""

    in_old: Flags
    in_new: Flags
    alive: Flags
    dead: Flags
    hosts: Numbers
    strata: Codes
    numbers: npt.NDArray[np.uint64]

    def is_below(self, limits: Mapping[Stratum, int]) -> Flags:
        """Which links have a number below the limit of their kind."""
        of_kind = [
            (self.strata == place) & (self.numbers < limits[kind]) for place, kind in enumerate(STRATA)
        ]
        found: Flags = np.any(of_kind, axis=0)
        return found

    def those(self, chosen: Flags) -> _Sampled:
        """Some of the links."""
        return _Sampled(*(getattr(self, field.name)[chosen] for field in fields(self)))


def _sampled(old: Panel, new: Panel) -> _Sampled:
    """The links of both panels, each once. One that is excluded cannot be told, here as everywhere."""
    of_old, of_new = PanelRow.objects.filter(panel=old), PanelRow.objects.filter(panel=new)
    groups = list(
        Link.objects.filter(pk__in=(of_old | of_new).values("link"))
        .values_list(
            Exists(of_old.filter(link=OuterRef("pk"))),
            Exists(of_new.filter(link=OuterRef("pk"))),
            "state",
            stratum_place("host__name"),
        )
        .annotate(hosts=ArrayAgg("host"), keys=_Joined("key"))
        .order_by()
    )
    in_old, in_new, states, strata, hosts, keys = list(zip(*groups, strict=True)) or [()] * 6
    sizes = np.array(list(map(len, hosts)), np.int64)
    alive, dead = ([shown(state) in those for state in states] for those in (IS_ALIVE, IS_DEAD))
    digests = np.frombuffer(b"".join(map(bytes, keys)), np.uint8).reshape(-1, 32)
    return _Sampled(
        in_old=np.repeat(np.array(in_old, np.bool_), sizes),
        in_new=np.repeat(np.array(in_new, np.bool_), sizes),
        alive=np.repeat(np.array(alive, np.bool_), sizes),
        dead=np.repeat(np.array(dead, np.bool_), sizes),
        hosts=np.array(list(chain.from_iterable(hosts)), np.int64),
        strata=np.repeat(np.array(strata, np.uint8), sizes),
        numbers=siphash(panel_secret(), digests),
    )


class _Joined(Aggregate):
    """The values of a binary column one behind the other, in the order of any other array of the same group."""

    function = "string_agg"
    template = "%(function)s(%(expressions)s, ''::bytea)"
    output_field = BinaryField()


def _limits(panel: Panel, links: _Sampled, own: Flags) -> dict[Stratum, int]:
    """Below which number a panel holds every link of a kind; `own` says which links are its own.

    One that did not write that down was cut off at its own largest number.
    """
    known = panel_limits(panel, int(own.sum()) + panel.urls_unusable)
    return known or dict.fromkeys(STRATA, int(links.numbers[own].max(initial=0)))


def _is_within(links: _Sampled, own: Flags, limits: Mapping[Stratum, int]) -> bool:
    """Whether a panel's own links have the numbers by which they were drawn: with another SECRET_KEY they have others."""
    at_most = {stratum: limit + 1 for stratum, limit in limits.items()}
    return bool(links.is_below(at_most)[own].all())
