from django.db import migrations, models


class Migration(migrations.Migration):
    """Forms may leave the last name empty. The columns stay as they are."""

    dependencies = [
        ("accounts", "0007_email_changes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="claim",
            name="last_name",
            field=models.CharField(blank=True, max_length=60, verbose_name="last name"),
        ),
        migrations.AlterField(
            model_name="user",
            name="last_name",
            field=models.CharField(blank=True, max_length=60, verbose_name="last name"),
        ),
    ]
