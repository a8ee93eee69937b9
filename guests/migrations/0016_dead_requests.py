from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("guests", "0015_night_counts")]

    operations = [
        AddIndexConcurrently(
            "guestrequest",
            models.Index(
                fields=["id"], condition=models.Q(state="dead"), name="guests_dead_requests"
            ),
        ),
    ]
