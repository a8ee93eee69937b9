from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# The history has a line when a guest gives a place back ("leaving"), when that is undone, and when
# the place becomes free ("given_back").
#
# `leaves_at` is cleared by the database: the previous release, which does not know the column, also
# checks guests in and gives places to guests who had none.
FORWARDS = """
CREATE OR REPLACE FUNCTION guests_shown_state(guest guests_guest) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN guest.checked_in_at IS NOT NULL THEN 'checked_in'
        WHEN guest.state = 'cancelled' AND guest.ending = 'given_back' THEN 'given_back'
        WHEN guest.state <> 'cancelled' AND guest.leaves_at IS NOT NULL THEN 'leaving'
        ELSE guest.state
    END
$$;

DROP TRIGGER guests_guest_changed ON guests_guest;
CREATE TRIGGER guests_guest_changed AFTER UPDATE OF state, checked_in_at, leaves_at ON guests_guest
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state
                       OR OLD.checked_in_at IS DISTINCT FROM NEW.checked_in_at
                       OR (OLD.leaves_at IS NULL) <> (NEW.leaves_at IS NULL))
    EXECUTE FUNCTION guests_record_guest_change();

CREATE FUNCTION guests_keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.leaves_at := NULL;
    RETURN NEW;
END $$;

CREATE TRIGGER guests_place_is_kept BEFORE UPDATE OF state, checked_in_at ON guests_guest
    FOR EACH ROW WHEN (NEW.leaves_at IS NOT NULL AND (
        (OLD.state = 'cancelled' AND NEW.state <> 'cancelled')
        OR (OLD.checked_in_at IS NULL AND NEW.checked_in_at IS NOT NULL)))
    EXECUTE FUNCTION guests_keep_place();
"""

BACKWARDS = """
DROP TRIGGER guests_place_is_kept ON guests_guest;
DROP FUNCTION guests_keep_place();

DROP TRIGGER guests_guest_changed ON guests_guest;
CREATE TRIGGER guests_guest_changed AFTER UPDATE OF state, checked_in_at ON guests_guest
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state
                       OR OLD.checked_in_at IS DISTINCT FROM NEW.checked_in_at)
    EXECUTE FUNCTION guests_record_guest_change();

CREATE OR REPLACE FUNCTION guests_shown_state(guest guests_guest) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guest.checked_in_at IS NULL THEN guest.state ELSE 'checked_in' END
$$;
"""


class Migration(migrations.Migration):
    # An index that is built concurrently does not lock the table, and needs no transaction.
    atomic = False

    dependencies = [("guests", "0008_event_changes")]

    operations = [
        migrations.AddField(
            model_name="guest",
            name="leaves_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="given back at"
            ),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
        AddIndexConcurrently(
            model_name="guest",
            index=models.Index(
                condition=models.Q(("leaves_at__isnull", False))
                & models.Q(("state", "cancelled"), _negated=True),
                fields=["leaves_at"],
                name="guests_leaving",
            ),
        ),
    ]
