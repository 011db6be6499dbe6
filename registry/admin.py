"""The admin, for superusers alone: organisations, members and users. What services write is only shown there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group

from registry.accounts.forms import SignInForm
from registry.accounts.models import Membership, Organisation, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Dataset, Version
from registry.jobs.models import Job
from registry.links.models import Host
from registry.links.opt_outs.services import host_opt_out

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(Group)  # roles are memberships


def _superuser_only(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_superuser


# Being "staff" in Django's sense alone opens nothing.
admin.site.has_permission = _superuser_only  # type: ignore[method-assign]  # Django's documented way is a whole AdminSite

# The same brake on guessing passwords as at our own sign-in.
admin.site.login_form = SignInForm


class MembershipInline(admin.TabularInline[Membership, Organisation]):
    """Members of an organisation."""

    model = Membership
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin[Organisation]):
    """Organisations with their members: how the first approver comes to be."""

    list_display = ["name", "slug", "created_at"]
    inlines = [MembershipInline]


admin.site.register(User, UserAdmin)


class ReadOnly(admin.ModelAdmin[Any]):
    """Shown, never changed: a change here would pass by the services and the log."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  -- Django's signature
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  -- as above
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  -- as above
        """Nobody deletes."""
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    """The log."""

    list_display = ["id", "at", "actor", "organisation", "action", "subject_type", "subject_id"]
    list_select_related = ["actor", "organisation"]
    list_filter = ["action"]
    search_fields = ["subject_id"]


@admin.register(Job)
class JobAdmin(ReadOnly):
    """Jobs."""

    list_display = ["title", "organisation", "state", "attempt", "created_at", "finished_at"]
    list_select_related = ["organisation"]
    list_filter = ["state", "kind"]


@admin.register(Dataset)
class DatasetAdmin(ReadOnly):
    """Datasets."""

    list_display = ["slug", "name", "organisation", "created_at"]
    list_select_related = ["organisation"]


@admin.register(Version)
class VersionAdmin(ReadOnly):
    """Versions."""

    list_display = ["__str__", "status", "dated", "rows"]
    list_select_related = ["dataset"]
    list_filter = ["status"]


@admin.register(Host)
class HostAdmin(ReadOnly):
    """Hosts that links lead to; an operator opts one out at its owner's wish."""

    list_display = ["name", "next_at", "delay", "fails", "opted_out_at"]
    search_fields = ["name"]
    actions = ["opt_out"]

    @admin.action(description="Never ask the chosen hosts again")
    def opt_out(self, request: HttpRequest, hosts: QuerySet[Host]) -> None:
        """Opt the chosen hosts out."""
        assert isinstance(request.user, User)
        for host in hosts:
            host_opt_out(actor=request.user, name=host.name)
        messages.success(request, "They are not asked again.")
