"""Who may build and publish releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.accounts.models import Role
from registry.accounts.permissions import has_role

if TYPE_CHECKING:
    from registry.datasets.models import Dataset, Viewer


def may_release(user: Viewer, dataset: Dataset) -> bool:
    """Whether the user may build and publish releases of the dataset: maintainers and up."""
    return has_role(user, dataset.organisation, Role.MAINTAINER)
