from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    """Check the rows in a transaction of its own, which does not block writers."""

    dependencies = [("notifications", "0004_delivery_tracking")]

    operations = [ValidateConstraint(model_name="email", name="email_state_is_known")]
