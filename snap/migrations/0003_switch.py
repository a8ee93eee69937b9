"""The model with which admin shows django-waffle's switches. No table changes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("snap", "0002_load_monitor"),
        ("waffle", "0004_update_everyone_nullbooleanfield"),
    ]

    operations = [
        migrations.CreateModel(
            name="Switch",
            fields=[],
            options={
                "verbose_name": "switch",
                "verbose_name_plural": "switches",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("waffle.switch",),
        ),
    ]
