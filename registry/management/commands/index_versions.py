"""Have the keys of versions indexed that are not, as by versions that were registered before there was an index."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from registry.datasets.key_index import (
    index_coverage,
    index_discard_bad,
    index_is_missing,
    index_start,
)
from registry.datasets.models import Shard, Version
from registry.lib.words import counted


class Command(BaseCommand):
    help = (
        "Start a job for every version whose key index is not whole; the jobs page shows how far they are. "
        "A version without an index is no less searched, only more slowly."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--prove",
            action="store_true",
            help="first read every byte of the index, and remove what is damaged or of a column no longer in use",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["prove"]:
            index_discard_bad(list(Shard.objects.values_list("digest", flat=True)))
        started = 0
        for version in Version.objects.exclude(root="").select_related("dataset__organisation"):
            if index_is_missing(version):
                index_start(version)
                started += 1
                whole, shards = index_coverage(version)
                self.stdout.write(f"{version}: {whole:,} of {counted(shards, 'shard')} indexed")
        self.stdout.write(f"Started {counted(started, 'job')}." if started else "Every version is indexed.")
