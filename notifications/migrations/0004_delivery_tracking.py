import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

# The previous release takes an email that was marked as spam for one that bounced.
BACKWARDS = "UPDATE notifications_email SET state = 'bounced' WHERE state = 'complained'"


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0003_resends"),
    ]

    operations = [
        migrations.CreateModel(
            name="Suppression",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "recipient",
                    models.CharField(max_length=254, unique=True, verbose_name="address"),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("unsubscribed", "unsubscribed"),
                            ("complained", "marked an email as spam"),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="when"
                    ),
                ),
            ],
            options={
                "verbose_name": "address without bulk emails",
                "verbose_name_plural": "addresses without bulk emails",
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="email",
            name="email_state_is_known",
        ),
        migrations.AddField(
            model_name="email",
            name="bounced_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="bounced"),
        ),
        migrations.AddField(
            model_name="email",
            name="complained_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="marked as spam"),
        ),
        migrations.AddField(
            model_name="email",
            name="delivered_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="delivered"),
        ),
        migrations.AddField(
            model_name="email",
            name="opened_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="opened"),
        ),
        migrations.AddField(
            model_name="email",
            name="provider",
            field=models.CharField(
                blank=True, db_default="", max_length=20, verbose_name="provider"
            ),
        ),
        migrations.AddField(
            model_name="email",
            name="unsure_provider",
            field=models.CharField(
                blank=True, db_default="", max_length=20, verbose_name="response lost by"
            ),
        ),
        migrations.AlterField(
            model_name="email",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "queued"),
                    ("sent", "sent"),
                    ("delivered", "delivered"),
                    ("opened", "opened"),
                    ("bounced", "bounced"),
                    ("complained", "marked as spam"),
                    ("cancelled", "no longer wanted"),
                    ("dead", "dead"),
                ],
                default="queued",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, BACKWARDS),
        AddConstraintNotValid(
            model_name="email",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "queued",
                            "sent",
                            "delivered",
                            "opened",
                            "bounced",
                            "complained",
                            "cancelled",
                            "dead",
                        ],
                    )
                ),
                name="email_state_is_known",
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="email",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="notifications.email",
                verbose_name="email",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason__in", ["unsubscribed", "complained"])),
                name="suppression_reason_is_known",
            ),
        ),
    ]
