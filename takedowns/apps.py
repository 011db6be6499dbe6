"""The Django app `takedowns`: what must go."""

from django.apps import AppConfig


class TakedownsConfig(AppConfig):
    """Reports, cases, removals, releases, and what the public sees of them."""

    name = "takedowns"
    verbose_name = "Takedowns"

    def ready(self) -> None:
        """Fill in the hooks: `registry` asks the removals and the public pages, `reports` tells the cases."""
        # Models can be imported only once all apps are loaded.
        from registry.hooks import hooks as registry_hooks  # noqa: PLC0415
        from takedowns.cases.links.exclusion import keys_excluded, rows_excluded  # noqa: PLC0415
        from takedowns.cases.links.priorities import rows_triaged  # noqa: PLC0415
        from takedowns.cases.own_initiative.domains import domains_report  # noqa: PLC0415
        from takedowns.cases.own_initiative.worked_on import (  # noqa: PLC0415
            domains_worked_on,
            links_worked_on,
        )
        from takedowns.cases.services import case_open  # noqa: PLC0415
        from takedowns.releases.link_priorities import rows_released  # noqa: PLC0415
        from takedowns.removals.services import version_objections  # noqa: PLC0415
        from takedowns.reports.hooks import hooks as report_hooks  # noqa: PLC0415
        from takedowns.transparency.answers import dataset_standings, version_standings  # noqa: PLC0415

        # Set, not appended: `ready` may run again in one process (tests do that), and each hook stands once.
        registry_hooks.version_objections = [version_objections]
        registry_hooks.version_standings = [version_standings]
        registry_hooks.dataset_standings = [dataset_standings]
        registry_hooks.keys_excluded = [keys_excluded]
        registry_hooks.rows_excluded = [rows_excluded]
        registry_hooks.rows_first = [rows_triaged, rows_released]
        registry_hooks.domain_taken_over = [domains_report]
        registry_hooks.domains_worked_on = [domains_worked_on]
        registry_hooks.links_worked_on = [links_worked_on]
        report_hooks.report_created = [case_open]
