from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts import services
from registry.accounts.models import Membership, Organisation, Role
from registry.accounts.permissions import has_role
from registry.auditlog.models import AuditEntry
from registry.lib.errors import NotAllowed, Refused
from tests.factories import make_member, make_organisation, make_user

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation("lab")


def role_of(username: str) -> str | None:
    member = Membership.objects.filter(user__username=username).first()
    return member.role if member else None


def test_each_role_reaches_what_those_before_it_reach(organisation: Organisation) -> None:
    maintainer = make_member(organisation, Role.MAINTAINER)
    assert has_role(maintainer, organisation, Role.STAFF)
    assert has_role(maintainer, organisation, Role.MAINTAINER)
    assert not has_role(maintainer, organisation, Role.APPROVER)
    assert not has_role(maintainer, make_organisation(), Role.STAFF)
    assert not has_role(None, organisation, Role.STAFF)


def test_a_superuser_has_no_role_by_that(organisation: Organisation) -> None:
    assert not has_role(make_user(is_superuser=True), organisation, Role.STAFF)


def test_a_closed_account_has_no_role(organisation: Organisation) -> None:
    user = make_member(organisation, Role.APPROVER)
    user.is_active = False
    assert not has_role(user, organisation, Role.STAFF)


def test_a_maintainer_adds_an_existing_user(organisation: Organisation, client: Client) -> None:
    maintainer = make_member(organisation, Role.MAINTAINER)
    make_user("grace")
    client.force_login(maintainer)
    answer = client.post("/organisations/lab/", {"username": "grace", "role": "staff"}, follow=True)
    assert b"grace is now staff" in answer.content
    assert role_of("grace") == "staff"
    entry = AuditEntry.objects.get(action="member_add")
    assert entry.actor == maintainer
    assert "grace" not in str(entry.data)


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        ({"username": "nobody", "role": "staff"}, 409, b"No user has this name"),
        ({"username": "", "role": "staff"}, 400, b"required"),
        ({"username": "grace", "role": "king"}, 400, b"king is not one of"),
        ({"username": "here", "role": "staff"}, 409, b"a member already"),
    ],
)
def test_the_page_says_what_is_wrong(
    organisation: Organisation, client: Client, given: dict[str, str], status: int, part: bytes
) -> None:
    make_user("grace")
    make_member(organisation, username="here")
    client.force_login(make_member(organisation, Role.MAINTAINER))
    answer = client.post("/organisations/lab/", given)
    assert answer.status_code == status
    assert part in answer.content
    assert role_of("grace") is None


def test_staff_neither_add_nor_change_nor_remove(organisation: Organisation) -> None:
    staff, other = make_member(organisation), make_member(organisation, username="grace")
    make_user("joan")
    member = Membership.objects.get(user=other)
    with pytest.raises(NotAllowed):
        services.member_add(actor=staff, organisation=organisation, username="joan", role="staff")
    with pytest.raises(NotAllowed):
        services.member_role_change(actor=staff, member=member, role="staff")
    with pytest.raises(NotAllowed):
        services.member_remove(actor=staff, member=member)
    assert role_of("grace") == "staff"


def test_a_maintainer_makes_nobody_an_approver_and_touches_none(organisation: Organisation) -> None:
    maintainer = make_member(organisation, Role.MAINTAINER)
    make_member(organisation, Role.APPROVER)
    approver = Membership.objects.get(user=make_member(organisation, Role.APPROVER, "grace"))
    make_user("joan")
    with pytest.raises(NotAllowed):
        services.member_add(actor=maintainer, organisation=organisation, username="joan", role="approver")
    with pytest.raises(NotAllowed):
        services.member_role_change(
            actor=maintainer, member=Membership.objects.get(user=maintainer), role="approver"
        )
    with pytest.raises(NotAllowed):
        services.member_role_change(actor=maintainer, member=approver, role="staff")
    with pytest.raises(NotAllowed):
        services.member_remove(actor=maintainer, member=approver)
    assert role_of("grace") == "approver"


def test_the_last_approver_stays(organisation: Organisation) -> None:
    approver = make_member(organisation, Role.APPROVER, "grace")
    member = Membership.objects.get(user=approver)
    with pytest.raises(Refused, match="last approver"):
        services.member_remove(actor=approver, member=member)
    with pytest.raises(Refused, match="last approver"):
        services.member_role_change(actor=approver, member=member, role="staff")
    make_member(organisation, Role.APPROVER)
    services.member_role_change(actor=approver, member=member, role="staff")
    assert role_of("grace") == "staff"


def test_anybody_may_leave(organisation: Organisation, client: Client) -> None:
    staff = make_member(organisation, username="grace")
    client.force_login(staff)
    member = Membership.objects.get(user=staff)
    answer = client.post(f"/organisations/lab/members/{member.pk}/remove/")
    assert answer["Location"] == "/account/"
    assert role_of("grace") is None


def test_roles_change_on_the_page(organisation: Organisation, client: Client) -> None:
    client.force_login(make_member(organisation, Role.APPROVER))
    member = Membership.objects.get(user=make_member(organisation, username="grace"))
    url = f"/organisations/lab/members/{member.pk}/role/"
    assert b"Choose one of the roles" in client.post(url, {"role": "king"}, follow=True).content
    assert b"grace is now maintainer" in client.post(url, {"role": "maintainer"}, follow=True).content
    assert role_of("grace") == "maintainer"
    assert b"no longer a member" in client.post(url.replace("role", "remove"), follow=True).content


def test_the_page_shows_a_refusal(organisation: Organisation, client: Client) -> None:
    approver = make_member(organisation, Role.APPROVER, "grace")
    client.force_login(approver)
    member = Membership.objects.get(user=approver)
    for act in ("remove", "role"):
        answer = client.post(f"/organisations/lab/members/{member.pk}/{act}/", {"role": "staff"}, follow=True)
        assert b"last approver" in answer.content
    assert role_of("grace") == "approver"


def test_a_stranger_does_not_learn_that_an_organisation_exists(
    organisation: Organisation, client: Client
) -> None:
    member = Membership.objects.get(user=make_member(organisation))
    urls = [f"/organisations/lab/members/{member.pk}/{act}/" for act in ("remove", "role")]
    assert client.get("/organisations/lab/").status_code == 302
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get("/organisations/lab/").status_code == 404
    assert client.get("/api/v1/organisations/lab/members/").status_code == 404
    assert "lab" not in client.get("/api/v1/organisations/").content.decode()
    assert [client.post(url, {"role": "staff"}).status_code for url in urls] == [404, 404]


def test_members_are_listed_to_members(
    organisation: Organisation, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(10):
        make_member(organisation, username=f"member-{number}")
    client.force_login(make_member(organisation, Role.APPROVER, "grace"))
    with django_assert_max_num_queries(8):
        assert b"member-9" in client.get("/organisations/lab/").content
    listed = client.get("/api/v1/organisations/lab/members/").json()
    assert listed["count"] == 11
    assert listed["results"][0] == {"username": "grace", "role": "approver"}
    assert client.get("/api/v1/organisations/").json()["results"][0]["slug"] == "lab"


def test_an_operator_creates_an_organisation() -> None:
    operator = make_user(is_superuser=True)
    organisation = services.organisation_create(actor=operator, slug="lab", name="The lab")
    assert has_role(operator, organisation, Role.APPROVER)
    with pytest.raises(Refused, match="taken"):
        services.organisation_create(actor=operator, slug="lab", name="Another")
    with pytest.raises(Refused, match="short name"):
        services.organisation_create(actor=operator, slug="A b", name="x")
    with pytest.raises(NotAllowed):
        services.organisation_create(actor=make_user(), slug="other", name="Other")
