from django.db import migrations, models


class Migration(migrations.Migration):
    """Accounts from before have no key: they count for nothing until their email is saved anew."""

    dependencies = [
        ("accounts", "0003_claims"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="email_key",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=254),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                condition=models.Q(("email_key", ""), _negated=True),
                fields=["email_key"],
                name="accounts_user_by_email_key",
            ),
        ),
    ]
