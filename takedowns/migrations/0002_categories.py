"""The categories a new site starts with."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from takedowns.reports.categories import seed_categories


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001  Django's signature
    """Make the categories that are not there yet."""
    seed_categories(apps.get_model("takedowns", "Category"))


class Migration(migrations.Migration):
    """Seed the categories."""

    dependencies = [("takedowns", "0001_initial")]

    operations = [
        # Going back leaves them: reports may refer to them.
        migrations.RunPython(seed, migrations.RunPython.noop, elidable=False),
    ]
