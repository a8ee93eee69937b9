import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0005_known_states"),
    ]

    operations = [
        migrations.AddField(
            model_name="suppression",
            name="lifted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="allowed again"),
        ),
        migrations.CreateModel(
            name="SuppressionChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="when"
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("unsubscribed", "unsubscribed"),
                            ("complained", "marked an email as spam"),
                            ("lifted", "allowed again"),
                        ],
                        max_length=20,
                        verbose_name="what",
                    ),
                ),
                ("actor", models.CharField(blank=True, max_length=60, verbose_name="who")),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                (
                    "email",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="notifications.email",
                        verbose_name="email",
                    ),
                ),
                (
                    "suppression",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="notifications.suppression",
                        verbose_name="address without bulk emails",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of an address without bulk emails",
                "verbose_name_plural": "changes of addresses without bulk emails",
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("what__in", ["unsubscribed", "complained", "lifted"])),
                        name="suppression_change_is_known",
                    )
                ],
            },
        ),
    ]
