"""What views of a version have in common: the version in their address, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.http import Http404
from django.shortcuts import get_object_or_404
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAuthenticated

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.datasets.selectors import version_list
from registry.links.selectors import may_read_links

if TYPE_CHECKING:
    from django.db.models import Model

    from registry.datasets.models import Version

M_co = TypeVar("M_co", bound="Model", covariant=True)


class VersionView(GenericAPIView[M_co]):
    """A view of one version (`slug`, `name`), for whoever may see it."""

    def version(self) -> Version:
        """Return the version; 404 for whoever may not see it."""
        address = {"dataset__slug": self.kwargs["slug"], "name": self.kwargs["name"]}
        return get_object_or_404(version_list(self.request.user), **address)


class LinksView(VersionView[M_co]):
    """A view of how the links of one version stand, for whoever may be told."""

    def version(self) -> Version:
        """Return the version; 404 for whoever may not see it, or not be told of its links."""
        version = super().version()
        if not may_read_links(self.request.user, version):
            raise Http404
        return version


class MembersView(VersionView[M_co]):
    """A view of one version for members of its organisation with at least `role`."""

    permission_classes = [IsAuthenticated]
    role = Role.STAFF

    def version(self) -> Version:
        """Return the version; 404 for whoever may not see it, and 403, whatever else was sent, without the role."""
        version = super().version()
        require_role(self.request.user, version.dataset.organisation, self.role)
        return version
