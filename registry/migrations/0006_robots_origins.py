"""A host's robots.txt becomes one for each of its origins. What was remembered is asked for anew: it held for a day."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0005_strata"),
    ]

    operations = [
        migrations.CreateModel(
            name="RobotsFile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "host",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="robots_files",
                        to="registry.host",
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        help_text="As a URL begins: the port is left out where it is the scheme's own",
                        max_length=270,
                    ),
                ),
                (
                    "text",
                    models.TextField(blank=True, help_text="As far as we read it; empty where there is none"),
                ),
                ("status", models.PositiveSmallIntegerField(help_text="HTTP status with which it came")),
                ("asked_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("host", "origin"), name="robotsfile_origin_once"),
                    models.CheckConstraint(
                        condition=models.Q(("origin__regex", "^https?://[^/]+$")),
                        name="robotsfile_origin_is_one",
                    ),
                ],
            },
        ),
        migrations.RemoveField(model_name="host", name="robots"),
        migrations.RemoveField(model_name="host", name="robots_status"),
        migrations.RemoveField(model_name="host", name="robots_at"),
    ]
