"""The app's models, gathered for Django; each lives with its noun."""

from registry.accounts.models import ApiKey, FailedSignIn, Membership, Organisation, Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Dataset, LineageEdge, Shard, Version, VersionDiff, VersionShard
from registry.jobs.models import Job
from registry.links.content.models import LinkContent, OriginSignature
from registry.links.distributions.models import Distribution
from registry.links.domains.models import Domain, DomainChange, DomainHost, Registry, Takeover
from registry.links.models import Host, Link, LinkPolicy, Observation, Panel, PanelRow

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Dataset",
    "Distribution",
    "Domain",
    "DomainChange",
    "DomainHost",
    "FailedSignIn",
    "Host",
    "Job",
    "LineageEdge",
    "Link",
    "LinkContent",
    "LinkPolicy",
    "Membership",
    "Observation",
    "Organisation",
    "OriginSignature",
    "Panel",
    "PanelRow",
    "Registry",
    "Role",
    "Shard",
    "Takeover",
    "User",
    "Version",
    "VersionDiff",
    "VersionShard",
]
