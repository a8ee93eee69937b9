from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guests", "0006_event_limits")]

    operations = [
        migrations.AddField(
            model_name="guestrequest",
            name="is_second_registration",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                verbose_name="second registration",
            ),
        ),
        migrations.AlterField(
            model_name="guestrequest",
            name="refusal",
            field=models.CharField(blank=True, max_length=40, verbose_name="reason"),
        ),
    ]
