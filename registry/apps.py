"""The Django app `registry`: what exists."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Datasets, versions, shards and lineage; accounts, jobs and the log."""

    name = "registry"
    verbose_name = "Registry"

    def ready(self) -> None:
        """Load the Celery application, so that tasks belong to it in every process, and the system checks."""
        from registry import celery, checks  # noqa: F401, PLC0415 - imported for what they register
