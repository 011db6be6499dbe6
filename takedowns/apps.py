"""The Django app `takedowns`: what must go."""

from django.apps import AppConfig


class TakedownsConfig(AppConfig):
    """Reports, cases, removals, releases, and what the public sees of them."""

    name = "takedowns"
    verbose_name = "Takedowns"

    def ready(self) -> None:
        """Fill in the hooks: `registry` asks the removals, `reports` tells the cases."""
        # Models can be imported only once all apps are loaded.
        from registry.hooks import hooks as registry_hooks  # noqa: PLC0415
        from takedowns.cases.services import case_open  # noqa: PLC0415
        from takedowns.removals.services import version_objections  # noqa: PLC0415
        from takedowns.reports.hooks import hooks as report_hooks  # noqa: PLC0415

        # `ready` may run again in one process (tests do that): each hook stands once.
        if version_objections not in registry_hooks.version_objections:
            registry_hooks.version_objections.append(version_objections)
        if case_open not in report_hooks.report_created:
            report_hooks.report_created.append(case_open)
