from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_staff_devices"),
    ]

    operations = [
        migrations.AddField(
            model_name="logincode",
            name="page",
            field=models.CharField(db_default="", max_length=120),
        ),
        migrations.AlterField(
            model_name="emailchange",
            name="proof",
            field=models.CharField(
                choices=[
                    ("browser", "the browser that registered"),
                    ("code", "a code"),
                    ("staff", "staff"),
                ],
                max_length=10,
                verbose_name="proof",
            ),
        ),
    ]
