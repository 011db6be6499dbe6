"""Panels remember how densely each kind of domain was drawn. Those that were drawn before have one limit for all."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0004_domains"),
    ]

    operations = [
        migrations.AddField(
            model_name="panel",
            name="limits",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="By stratum: below this number, written in decimal, it holds every link; empty before there were strata",
            ),
        ),
        migrations.AlterField(
            model_name="panel",
            name="size",
            field=models.PositiveIntegerField(
                help_text="Links drawn of all kinds; of rare kinds there may be more"
            ),
        ),
    ]
