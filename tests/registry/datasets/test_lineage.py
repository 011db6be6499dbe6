from __future__ import annotations

from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.datasets.models import LineageEdge, LineageKind, Version, VersionStatus
from registry.datasets.selectors import lineage_descendants, lineage_down, lineage_up, versions_in_reach
from registry.datasets.services import lineage_create
from registry.lib.errors import NotAllowed, Refused
from tests.factories import make_dataset, make_edge, make_member, make_organisation, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def chain(length: int) -> list[Version]:
    """Versions of one organisation, each a subset of the one before."""
    organisation = make_organisation()
    versions = [make_version(make_dataset(organisation), shards={}) for _ in range(length)]
    for parent, child in pairwise(versions):
        make_edge(parent, child)
    return versions


def test_an_edge_is_recorded_by_who_keeps_the_child() -> None:
    parent, child = make_version(shards={}), make_version(shards={})
    maintainer = make_member(child.dataset.organisation, Role.MAINTAINER)
    edge = lineage_create(actor=maintainer, parent=parent, child=child, kind=LineageKind.SUBSET_OF)
    assert (edge.parent, edge.child, edge.created_by) == (parent, child, maintainer)
    assert AuditEntry.objects.get().organisation == child.dataset.organisation
    others = make_member(parent.dataset.organisation, Role.APPROVER)
    with pytest.raises(NotAllowed):
        lineage_create(actor=others, parent=parent, child=child, kind=LineageKind.MIRROR_OF)
    with pytest.raises(NotAllowed):
        lineage_create(
            actor=make_member(child.dataset.organisation),
            parent=parent,
            child=child,
            kind=LineageKind.MIRROR_OF,
        )


def test_an_artifact_is_recorded_by_who_keeps_the_parent() -> None:
    parent = make_version(shards={})
    maintainer = make_member(parent.dataset.organisation, Role.MAINTAINER)
    lineage_create(actor=maintainer, parent=parent, artifact="A model", kind=LineageKind.TRAINED_ON)
    step = lineage_down(parent, None)[0]
    assert (step.other, step.edge.artifact, step.depth) == (None, "A model", 1)
    with pytest.raises(Refused, match="recorded already"):
        lineage_create(actor=maintainer, parent=parent, artifact="A model", kind=LineageKind.TRAINED_ON)
    lineage_create(actor=maintainer, parent=parent, artifact="Another", kind=LineageKind.TRAINED_ON)


def test_lineage_never_runs_in_a_circle() -> None:
    versions = chain(3)
    maintainer = make_member(versions[0].dataset.organisation, Role.MAINTAINER)
    for parent, child in ((versions[2], versions[0]), (versions[1], versions[0]), (versions[0], versions[0])):
        with pytest.raises(Refused, match="circle"):
            lineage_create(actor=maintainer, parent=parent, child=child, kind=LineageKind.DERIVED_FROM)
    assert LineageEdge.objects.count() == 2
    lineage_create(actor=maintainer, parent=versions[0], child=versions[2], kind=LineageKind.DERIVED_FROM)


def test_an_edge_names_a_version_or_an_artifact_and_a_kind() -> None:
    parent, child = chain(2)
    maintainer = make_member(parent.dataset.organisation, Role.MAINTAINER)
    with pytest.raises(Refused, match="not both"):
        lineage_create(actor=maintainer, parent=parent, kind=LineageKind.SUBSET_OF)
    with pytest.raises(Refused, match="not both"):
        lineage_create(actor=maintainer, parent=parent, child=child, artifact="x", kind=LineageKind.SUBSET_OF)
    with pytest.raises(Refused, match="subset_of"):
        lineage_create(actor=maintainer, parent=parent, child=child, kind="cousin_of")
    with pytest.raises(Refused, match="recorded already"):
        lineage_create(actor=maintainer, parent=parent, child=child, kind=LineageKind.SUBSET_OF)


def test_the_database_refuses_an_edge_to_itself_and_one_to_nothing() -> None:
    version = make_version(shards={})
    with pytest.raises(IntegrityError), transaction.atomic():
        make_edge(version, version)
    with pytest.raises(IntegrityError), transaction.atomic():
        LineageEdge.objects.create(parent=version, kind=LineageKind.TRAINED_ON)


def test_lineage_is_walked_up_and_down_nearest_first() -> None:
    a, b, c = chain(3)
    assert [(step.other, step.depth) for step in lineage_down(a, None)] == [(b, 1), (c, 2)]
    assert [(step.other, step.depth) for step in lineage_up(c, None)] == [(b, 1), (a, 2)]
    assert lineage_down(c, None) == []


def test_a_stranger_does_not_see_drafts_through_lineage() -> None:
    a, b, c = chain(3)
    Version.objects.filter(pk=b.pk).update(status=VersionStatus.DRAFT)
    assert lineage_down(a, None) == []
    assert len(lineage_down(a, make_member(a.dataset.organisation))) == 2
    assert lineage_up(c, make_member(make_organisation())) == []


def test_descendants_follow_edges_and_releases() -> None:
    a, b, c = chain(3)
    release = make_version(b.dataset, shards={}, base=b)
    of_release = make_version(make_dataset(a.dataset.organisation), shards={})
    make_edge(release, of_release)
    assert lineage_descendants([a.pk]) == {b.pk, c.pk, release.pk, of_release.pk}
    assert lineage_descendants([]) == set()


def test_a_report_concerns_versions_in_use_of_the_organisation() -> None:
    a, b, _ = chain(3)
    earlier = make_version(a.dataset, shards={}, status=VersionStatus.DEPRECATED)
    make_version(a.dataset, shards={}, status=VersionStatus.DRAFT)
    make_version(a.dataset, shards={}, status=VersionStatus.WITHDRAWN)
    of_others = make_version(shards={})
    make_edge(a, of_others)
    reach = versions_in_reach(a.dataset)
    assert {a, b, earlier} < set(reach)
    assert len(reach) == 4
    assert of_others not in reach
