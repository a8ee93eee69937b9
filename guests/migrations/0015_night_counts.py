import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guests", "0014_log_context")]

    operations = [
        migrations.CreateModel(
            name="NightCounts",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "counted_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("values", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "counts of a night",
                "verbose_name_plural": "counts of a night",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="guests_one_row_of_night_counts"
                    )
                ],
            },
        ),
    ]
