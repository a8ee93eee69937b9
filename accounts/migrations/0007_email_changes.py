import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_ended_sessions")]

    operations = [
        migrations.CreateModel(
            name="EmailChange",
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
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="when",
                    ),
                ),
                ("from_email", models.EmailField(blank=True, max_length=254, verbose_name="from")),
                ("to_email", models.EmailField(max_length=254, verbose_name="to")),
                (
                    "proof",
                    models.CharField(
                        choices=[("browser", "the browser that registered"), ("code", "a code")],
                        max_length=10,
                        verbose_name="proof",
                    ),
                ),
                (
                    "was_proven",
                    models.BooleanField(default=False, verbose_name="proven before"),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="email_changes",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="account",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of an email",
                "verbose_name_plural": "changes of emails",
                "ordering": ["-id"],
            },
        ),
    ]
