"""The kinds of job of this package; `registry.jobs.tasks.job_run` does them."""

from __future__ import annotations

from registry.datasets import compare, ingest, key_index, services
from registry.jobs.handlers import register

register(services.INGEST, ingest.version_ingest, ingest.version_ingest_failed)
register(compare.KIND, compare.version_compare)
register(key_index.KIND, key_index.index_build)
