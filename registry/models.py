"""The app's models, gathered for Django; each lives with its noun."""

from registry.accounts.models import ApiKey, FailedSignIn, Membership, Organisation, Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Dataset, LineageEdge, Shard, Version, VersionDiff, VersionShard
from registry.jobs.models import Job
from registry.links.models import Host, Link, LinkPolicy, Observation, Panel, PanelRow

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Dataset",
    "FailedSignIn",
    "Host",
    "Job",
    "LineageEdge",
    "Link",
    "LinkPolicy",
    "Membership",
    "Observation",
    "Organisation",
    "Panel",
    "PanelRow",
    "Role",
    "Shard",
    "User",
    "Version",
    "VersionDiff",
    "VersionShard",
]
