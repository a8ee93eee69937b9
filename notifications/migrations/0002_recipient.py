from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0001_emails"),
    ]

    operations = [
        migrations.AddField(
            model_name="email",
            name="recipient",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=254),
        ),
        migrations.AddField(
            model_name="email",
            name="by_stranger",
            field=models.BooleanField(db_default=False, editable=False),
        ),
        migrations.AddIndex(
            model_name="email",
            index=models.Index(
                condition=models.Q(("by_stranger", True)),
                fields=["recipient", "created_at"],
                name="email_by_recipient",
            ),
        ),
    ]
