from __future__ import annotations

import pytest

from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Dataset, VersionStatus
from registry.datasets.selectors import dataset_list, version_list
from registry.datasets.services import dataset_create
from registry.lib.errors import NotAllowed, Refused
from tests.factories import make_dataset, make_member, make_organisation, make_user, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def test_a_maintainer_creates_a_dataset() -> None:
    organisation = make_organisation()
    maintainer = make_member(organisation, Role.MAINTAINER)
    dataset = dataset_create(actor=maintainer, organisation=organisation, slug="links", name=" Links ")
    assert (dataset.slug, dataset.name) == ("links", "Links")
    assert AuditEntry.objects.get().subject_id == str(dataset.pk)
    with pytest.raises(Refused, match="links is taken"):
        dataset_create(actor=maintainer, organisation=organisation, slug="links", name="Links")


@pytest.mark.parametrize(
    ("slug", "name"), [("new", "x"), ("", "x"), ("Ünder", "x"), ("a/b", "x"), ("a" * 51, "x"), ("ok", " ")]
)
def test_names_that_make_no_address_are_refused(slug: str, name: str) -> None:
    organisation = make_organisation()
    with pytest.raises(Refused):
        dataset_create(
            actor=make_member(organisation, Role.MAINTAINER), organisation=organisation, slug=slug, name=name
        )
    assert not Dataset.objects.exists()


def test_nobody_else_creates_one() -> None:
    organisation = make_organisation()
    for actor in (make_member(organisation), make_member(make_organisation(), Role.APPROVER), make_user()):
        with pytest.raises(NotAllowed):
            dataset_create(actor=actor, organisation=organisation, slug="links", name="Links")


def shown(user: User | None) -> list[tuple[object, object]]:
    """How many versions of each dataset the user sees, and the newest."""
    return [(row["version_count"], row["newest"]) for row in map(dict, dataset_list(user).values())]


def test_a_dataset_is_public_once_a_version_is_no_draft() -> None:
    dataset = make_dataset()
    member, stranger = make_member(dataset.organisation), make_user()
    draft = make_version(dataset, "2", shards={}, status=VersionStatus.DRAFT)
    assert not dataset_list(stranger).exists()
    assert not dataset_list(None).exists()
    assert shown(member) == [(1, None)]
    make_version(dataset, "1", shards={})
    assert shown(None) == [(1, "1")]
    assert shown(member) == [(2, "1")]
    assert draft not in version_list(stranger)
    assert draft in version_list(member)
