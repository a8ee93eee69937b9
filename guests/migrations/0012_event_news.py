import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("guests", "0011_staff_actions"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="sends_reminder",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Guests on the list get an email the day before, between 9:00 and 21:00.",
                verbose_name="reminder the day before",
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="told_sequence",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.CreateModel(
            name="EventNews",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sequence", models.PositiveIntegerField(verbose_name="revision")),
                ("state", models.JSONField(verbose_name="state")),
                ("emails", models.PositiveIntegerField(verbose_name="emails")),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="when"
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="guests.event",
                        verbose_name="event",
                    ),
                ),
            ],
            options={
                "verbose_name": "news of an event",
                "verbose_name_plural": "news of events",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("event", "sequence"), name="guests_news_once")
                ],
            },
        ),
        # Changes from before are no news: holders have read them on their pages.
        migrations.RunSQL(
            "UPDATE guests_event SET told_sequence = sequence WHERE sequence > 0",
            migrations.RunSQL.noop,
        ),
    ]
