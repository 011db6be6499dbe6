"""A link remembers which dataset's members asked for it, for whoever asks pays."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0009_asked_again"),
    ]

    operations = [
        migrations.AddField(
            model_name="link",
            name="asked_by",
            field=models.ForeignKey(
                db_index=False,
                help_text="Whose members asked for it last and wait for it still: that dataset's budget pays",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="registry.dataset",
            ),
        ),
    ]
