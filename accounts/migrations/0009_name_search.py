from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    TrigramExtension,
    UnaccentExtension,
)
from django.db import migrations, models
from django.db.models.functions import Concat, Upper

from snap.search import Folded

# An SQL-standard body finds its functions when it is created, so the function works with any
# search path: during a restore, and where the extension is in a schema of its own.
CREATE = """
CREATE FUNCTION fold_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN translate(lower(translate(
    unaccent('unaccent'::regdictionary, normalize(value, NFC)),
    '-‐‑‒–―−⁃־᠆''`´ʻˊ՚׳\u200c\u200d',
    '          '
)), 'ς', 'σ')
"""
DROP = "DROP FUNCTION fold_text(text)"


class Migration(migrations.Migration):
    # Indexes are built without locking the table. The extensions are `unaccent` and `pg_trgm`.
    atomic = False
    dependencies = [("accounts", "0008_last_name_is_optional")]

    operations = [
        UnaccentExtension(),
        TrigramExtension(),
        migrations.RunSQL(CREATE, DROP),
        AddIndexConcurrently(
            "user",
            GinIndex(
                OpClass(Folded("first_name"), "gin_trgm_ops"),
                OpClass(Folded("last_name"), "gin_trgm_ops"),
                OpClass("phone", "gin_trgm_ops"),
                name="accounts_user_search",
            ),
        ),
        AddIndexConcurrently(
            "user",
            models.Index(
                Folded(
                    Concat(
                        "first_name",
                        models.Value(" "),
                        "last_name",
                        output_field=models.CharField(),
                    )
                ),
                name="accounts_user_by_name",
            ),
        ),
        AddIndexConcurrently(
            "user",
            models.Index(
                OpClass(Upper("email"), "text_pattern_ops"), name="accounts_user_by_email_start"
            ),
        ),
    ]
