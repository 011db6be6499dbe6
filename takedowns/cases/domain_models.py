"""Which report says that a domain changed hands."""

from __future__ import annotations

from django.db import models

from takedowns.reports.models import Report


class DomainReport(models.Model):
    """The report of one takeover: the primary key sees to it that there is never a second."""

    takeover = models.OneToOneField(
        "registry.Takeover", on_delete=models.PROTECT, primary_key=True, related_name="domain_report"
    )
    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="domain_reports")

    def __str__(self) -> str:
        return f"{self.report_id} of {self.takeover_id}"
