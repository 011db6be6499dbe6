"""An opt-out file that nobody could read is tried again, and so is a registry where a census learns nothing."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0008_origin_signatures"),
    ]

    operations = [
        migrations.AddField(
            model_name="domain",
            name="unusable",
            field=models.PositiveSmallIntegerField(
                default=0, help_text="Censuses in a row that brought nothing to compare (`states.UNUSABLE`)"
            ),
        ),
        migrations.AddField(
            model_name="host",
            name="opt_out_tried_at",
            field=models.DateTimeField(
                help_text="When it was last asked for in vain: nobody could say whether it is there",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="host",
            name="opt_out_read_at",
            field=models.DateTimeField(help_text="When that was read, or found not to be there", null=True),
        ),
    ]
