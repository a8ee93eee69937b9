from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from snap.search import Folded


class Migration(migrations.Migration):
    atomic = False  # Indexes are built without locking the table.
    dependencies = [
        ("accounts", "0009_name_search"),
        ("guests", "0009_give_back"),
    ]

    operations = [
        AddIndexConcurrently(
            "guest",
            GinIndex(
                OpClass(Folded("name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="guests_guest_search",
            ),
        ),
        AddIndexConcurrently("guest", models.Index(Folded("name"), name="guests_guest_by_name")),
        AddIndexConcurrently(
            "guestrequest",
            GinIndex(
                OpClass(Folded("name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="guests_request_search",
            ),
        ),
    ]
