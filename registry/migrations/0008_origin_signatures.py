"""What was learned of hosts before their content was read becomes one for each of their origins.

What was remembered is learned anew, at the next reading: of it nobody knows whether it was said over http or over https.
Nothing is read before that, so nothing that is reserved is read.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0007_opt_outs"),
    ]

    operations = [
        migrations.DeleteModel(name="HostSignature"),
        migrations.CreateModel(
            name="OriginSignature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "host",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="signatures",
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
                    "probed_at",
                    models.DateTimeField(help_text="When a random path was asked for", null=True),
                ),
                (
                    "missing_body",
                    models.BinaryField(
                        help_text="SHA-256 of the beginning of its answer there, if that was a success",
                        max_length=32,
                        null=True,
                    ),
                ),
                (
                    "missing_target",
                    models.TextField(blank=True, help_text="Where it redirected to from there"),
                ),
                (
                    "tdm_at",
                    models.DateTimeField(help_text="When /.well-known/tdmrep.json was asked for", null=True),
                ),
                (
                    "tdm_rules",
                    models.JSONField(
                        default=list, help_text="[[pattern of paths, whether it is reserved]] in order"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("host", "origin"), name="originsignature_once"),
                    models.CheckConstraint(
                        condition=models.Q(("origin__regex", "^https?://[^/]+$")),
                        name="originsignature_is_one",
                    ),
                ],
            },
        ),
    ]
