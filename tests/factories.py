"""Plain functions that make what a test needs, with real shards in the store."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from registry.accounts.models import Membership, Organisation, Role, User
from registry.celery import app
from registry.datasets import store
from registry.datasets.models import (
    Dataset,
    LineageEdge,
    LineageKind,
    Shard,
    Version,
    VersionShard,
    VersionStatus,
)
from registry.jobs import services as job_services
from registry.jobs.models import Job, JobState

PASSWORD = "a long enough password"

Rows = Sequence[Mapping[str, Any]]

_numbers = itertools.count(1)


def make_user(username: str = "", **fields: Any) -> User:
    """A user whose password is PASSWORD."""
    return User.objects.create_user(username or f"user-{next(_numbers)}", password=PASSWORD, **fields)


def make_organisation(slug: str = "", name: str = "") -> Organisation:
    slug = slug or f"organisation-{next(_numbers)}"
    return Organisation.objects.create(slug=slug, name=name or slug.capitalize())


def make_member(organisation: Organisation, role: Role = Role.STAFF, username: str = "") -> User:
    """A new user with this role."""
    user = make_user(username or f"{role.value}-{next(_numbers)}")
    Membership.objects.create(user=user, organisation=organisation, role=role)
    return user


def make_dataset(organisation: Organisation | None = None, slug: str = "", **fields: Any) -> Dataset:
    slug = slug or f"dataset-{next(_numbers)}"
    return Dataset.objects.create(
        organisation=organisation or make_organisation(), slug=slug, name=fields.pop("name", slug), **fields
    )


def make_rows(count: int = 10, host: str = "img.example.com", start: int = 0) -> list[dict[str, Any]]:
    """Rows with url, text and md5; row i has the URL https://<host>/<i>.jpg and the md5 of that URL."""
    urls = [f"https://{host}/{index}.jpg" for index in range(start, start + count)]
    return [
        {"url": url, "text": f"caption {url[-8:]}", "md5": hashlib.md5(url.encode()).hexdigest()}
        for url in urls
    ]


def write_shard(path: Path, rows: Rows) -> Path:
    """Write rows as Parquet (two row groups) or CSV, by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([dict(row) for row in rows])
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=max(1, len(rows) // 2))
    else:
        pa.csv.write_csv(table, path)
    return path


def make_version(
    dataset: Dataset | None = None,
    name: str = "",
    shards: Mapping[str, Rows] | None = None,
    status: VersionStatus = VersionStatus.ACTIVE,
    **fields: Any,
) -> Version:
    """An ingested version; `shards` maps a path (.csv or .parquet) to its rows, one CSV of ten rows if absent."""
    files = {"0.csv": make_rows()} if shards is None else shards
    version = Version.objects.create(
        dataset=dataset or make_dataset(),
        name=name or f"v{next(_numbers)}",
        dated=fields.pop("dated", date(2026, 1, 1)),
        columns=fields.pop("columns", {"url": "url", "text": "text", "md5": "md5"}),
        **fields,
    )
    sums = []
    with tempfile.TemporaryDirectory() as folder:
        for position, (path, rows) in enumerate(sorted(files.items())):
            file = write_shard(Path(folder) / path, rows)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            store.put(file, digest)
            shard, _ = Shard.objects.get_or_create(
                digest=digest,
                defaults={
                    "bytes": file.stat().st_size,
                    "rows": len(rows),
                    "format": path.rsplit(".", 1)[-1],
                    "schema": [
                        {"name": key, "type": "string", "required": False} for key in (rows or [{}])[0]
                    ],
                },
            )
            VersionShard.objects.create(version=version, shard=shard, path=path, position=position)
            sums.append(f"{digest}  {path}\n")
            version.rows += shard.rows
            version.bytes += shard.bytes
    version.root = hashlib.sha256("".join(sums).encode()).hexdigest()
    version.status = status
    version.save()
    return version


def make_edge(parent: Version, child: Version, kind: LineageKind = LineageKind.SUBSET_OF) -> LineageEdge:
    return LineageEdge.objects.create(parent=parent, child=child, kind=kind)


def run_jobs() -> list[Job]:
    """Do every waiting job in this process, as a worker would, and those that they start; returns all as they ended."""
    app.loader.import_default_modules()  # every tasks.py, where the handlers are registered
    done: list[Job] = []
    while waiting := list(Job.objects.filter(state=JobState.QUEUED).order_by("created_at")):
        for job in waiting:
            job_services.job_run(job.pk)
            job.refresh_from_db()
        done += waiting
    return done
