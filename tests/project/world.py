"""A site with something of every kind, public and not, and everybody who may come to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from registry.accounts.models import Role, User
from registry.accounts.services import api_key_create
from registry.datasets.models import VersionStatus
from registry.jobs.models import Job
from registry.links.distributions.models import DistributionKind
from registry.links.distributions.services import distribution_add
from takedowns.releases import services as releases
from tests.factories import (
    make_dataset,
    make_member,
    make_organisation,
    make_rows,
    make_version,
    run_jobs,
)
from tests.factories_takedowns import make_removal, make_report, make_team

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from expunge.signing import KeyFiles


@dataclass
class World:
    """One organisation with something of every kind, public and not, and everybody who may come."""

    args: dict[str, dict[str, Any]]
    # What must never be in an answer to somebody from outside: what it is -> how it would read.
    secrets: dict[str, str]
    people: dict[str, list[User | None]]

    def door(self, name: str, thing: str) -> str:
        return reverse(name, kwargs=self.args[thing])


@pytest.fixture
def world(db: None, settings: LazySettings, tmp_path: Path, keys: KeyFiles) -> World:
    settings.STORE = tmp_path / "store"
    team = make_team()
    dataset = make_dataset(team.organisation, "open-set", name="Open set")
    base = make_version(dataset, "2025-01-01", {"0.csv": make_rows()})
    published = make_removal(team, dataset)
    release = releases.release_build(actor=team.maintainer, base=base)
    run_jobs()
    releases.release_publish(actor=team.maintainer, release=release)
    published.refresh_from_db()
    # Decided and built, not published.
    later = make_version(dataset, "2025-02-01", {"1.csv": make_rows(host="later.example.com")})
    removal = make_removal(team, dataset, ["https://later.example.com/3.jpg"])
    unpublished = releases.release_build(actor=team.maintainer, base=later)
    run_jobs()
    unpublished.refresh_from_db()
    assert unpublished.state == "verified", unpublished.failure
    draft = make_version(
        dataset, "unborn", {"2.csv": make_rows(host="draft.example.com")}, VersionStatus.DRAFT
    )
    hidden = make_dataset(team.organisation, "hidden-set", name="Veiled collection")
    hidden_draft = make_version(
        hidden, "veiled", {"3.csv": make_rows(host="veiled.example.com")}, VersionStatus.DRAFT
    )
    report, secret = make_report(
        dataset,
        ["https://img.example.com/5.jpg", "md5:00112233445566778899aabbccddeeff", "not a url at all"],
        description="Described in confidence.",
        contact_name="Confidential Reporter",
        contact_email="reporter@confidential.example",
    )
    run_jobs()
    case = report.cases.get()
    job = Job.objects.get(subject_id=case.pk)
    key, _ = api_key_create(actor=team.staff, name="a program")
    own = {"slug": "open-set", "name": release.version.name}
    coming = {"slug": "open-set", "name": unpublished.version.name}
    place = distribution_add(
        actor=team.maintainer,
        version=base,
        url="https://mirror.example.org/base",
        kind=DistributionKind.MIRROR,
    )
    others = make_organisation()
    return World(
        args={
            "": {},
            "key": {"key_id": key.pk},
            "organisation": {"slug": team.organisation.slug},
            "member": {"slug": team.organisation.slug, "member_id": team.staff.memberships.get().pk},
            "job": {"job_id": job.pk},
            "job pk": {"pk": job.pk},
            "host": {"name": "img.example.com"},
            "findings": {"slug": "open-set", "name": base.name, "finding": "dead"},
            "domain": {"slug": "open-set", "name": base.name, "domain": "example.com"},
            "dataset": {"slug": "open-set"},
            "hidden": {"slug": "hidden-set"},
            "version": {"slug": "open-set", "name": base.name},
            "link": {"slug": "open-set", "name": base.name, "link": 1},
            "draft": {"slug": "open-set", "name": draft.name},
            "hidden draft": {"slug": "hidden-set", "name": hidden_draft.name},
            "secret": {"token": secret},
            "wrong secret": {"token": secret[:-1]},
            "case": {"number": case.number},
            "release": own,
            "release file": own | {"path": "data/0.csv"},
            "release key": own | {"key": "minisign.pub"},
            "unpublished": coming,
            "unpublished file": coming | {"path": "release.json"},
            "unpublished key": coming | {"key": "minisign.pub"},
            "advisory": {"advisory_id": published.advisory_id},
            "unpublished removal": {"advisory_id": str(removal.pk)},
            "place": {"slug": "open-set", "name": base.name, "pk": place.pk},
            "shard": {"digest": base.version_shards.get().shard_id},
            "draft shard": {"digest": draft.version_shards.get().shard_id},
        },
        secrets={
            "a draft": "unborn",
            "a dataset of drafts": "Veiled collection",
            "a draft of a hidden dataset": "veiled",
            "an unpublished release": unpublished.version.name,
            "its root": unpublished.root,
            "a removal that is not published": str(removal.pk),
            "a case": case.number,
            "a report": report.number,
            "a job": str(job.pk),
            "a description": report.description,
            "a contact": report.contact_email,
            "a name": report.contact_name,
            "an item": "img.example.com/5.jpg",
            "an item that is a hash": "00112233445566778899aabbccddeeff",
            "an item that could not be read": "not a url at all",
            "a draft's shard": draft.version_shards.get().shard_id,
            "somebody who works there": team.staff.username,
            "who decides": team.approver.username,
        },
        people={
            "anonymous": [None],
            "stranger": [make_member(others, role) for role in Role],
            "staff": [team.staff],
            "maintainer": [team.maintainer],
            "approver": [team.approver],
        },
    )
