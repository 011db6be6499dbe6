"""Who acts in the demo: an operator and two members of one organisation, with passwords and API keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from registry.accounts.models import Organisation, Role, User
from registry.accounts.services import api_key_create, api_key_revoke, member_add, organisation_create
from takedowns.management.demo.steps import StepFailed

if TYPE_CHECKING:
    from takedowns.management.demo.journal import Journal

ORGANISATION = "demo-lab"
KEY_NAME = "demo"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the demo; names no real account could have by chance."""

    username: str
    task: str


OPERATOR = Person("demo-operator", "the operator: also the admin pages at /admin/")
PROPOSER = Person("demo-mira", "proposed the decisions, built and published the releases")
SECOND = Person("demo-noor", "approved them as the second person")
PEOPLE = (OPERATOR, PROPOSER, SECOND)


def refuse_foreign_database() -> None:
    """Raise StepFailed when the database holds somebody's work and never held the demo."""
    if Organisation._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001  Django's documented way
        return
    slugs = set(Organisation.objects.values_list("slug", flat=True))
    if slugs and ORGANISATION not in slugs:
        raise StepFailed(
            "This database holds organisations and none of them is the demo's, so the demo leaves it alone. "
            "Give it a database of its own by DATABASE_URL, or another folder by VAR_DIR."
        )


def people_make(journal: Journal) -> Organisation:
    """Make the organisation and its people, as far as they are missing; the journal's passwords hold afterwards."""
    users = {person: _user(person, journal) for person in PEOPLE}
    organisation = Organisation.objects.filter(slug=ORGANISATION).first() or organisation_create(
        actor=users[OPERATOR], slug=ORGANISATION, name="Demo Lab"
    )
    # Both could approve: what keeps the proposer from it is the rule of two people, not his role.
    for person in (PROPOSER, SECOND):
        if not organisation.memberships.filter(user=users[person]).exists():
            member_add(
                actor=users[OPERATOR], organisation=organisation, username=person.username, role=Role.APPROVER
            )
    return organisation


def api_key(person: Person) -> str:
    """A new API key of the person, for this run; keys of runs that were killed are revoked."""
    user = User.objects.get(username=person.username)
    api_keys_revoke(person)
    return api_key_create(actor=user, name=KEY_NAME)[1]


def api_keys_revoke(person: Person) -> None:
    """End the keys that the demo made for the person."""
    user = User.objects.get(username=person.username)
    for key in user.api_keys.filter(name=KEY_NAME, revoked_at=None):
        api_key_revoke(actor=user, key=key)


def _user(person: Person, journal: Journal) -> User:
    password = journal.password(person.username)
    user, _ = User.objects.get_or_create(
        username=person.username,
        defaults={"is_staff": person is OPERATOR, "is_superuser": person is OPERATOR},
    )
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user
