"""The Django app `registry`: what exists."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Datasets, versions, shards and lineage; accounts, jobs and the log."""

    name = "registry"
    verbose_name = "Registry"

    def ready(self) -> None:
        """Load the Celery application, so that tasks belong to it in every process, and the system checks; fill the hooks."""
        from registry import celery, checks  # noqa: F401, PLC0415 - imported for what they register
        from registry.hooks import hooks  # noqa: PLC0415 - models are there by now
        from registry.links.panel_ingest import panel_reader  # noqa: PLC0415 - the same

        # Set, not appended: `ready` may run again in one process (tests do that), and each hook stands once.
        hooks.row_readers = [panel_reader]
