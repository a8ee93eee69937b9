from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("notifications", "0009_log_context")]

    operations = [
        AddIndexConcurrently(
            "email",
            models.Index(fields=["id"], condition=models.Q(state="dead"), name="email_dead"),
        ),
    ]
