import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# Who changes an event is known to these triggers however it is changed: by admin, by the previous
# release or by plain SQL.
FORWARDS = """
CREATE FUNCTION guests_set_event_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.changed_at := clock_timestamp();
        RETURN NEW;
    END IF;
    -- A process that saves a whole row may have read it before another change.
    NEW.sequence := OLD.sequence;
    NEW.changed_at := OLD.changed_at;
    NEW.moves := OLD.moves;
    IF (OLD.title, OLD.slug, OLD.venue, OLD.address, OLD.time_zone, OLD.starts_at, OLD.ends_at,
        OLD.cancelled_at IS NULL)
        IS DISTINCT FROM
       (NEW.title, NEW.slug, NEW.venue, NEW.address, NEW.time_zone, NEW.starts_at, NEW.ends_at,
        NEW.cancelled_at IS NULL)
    THEN
        NEW.sequence := OLD.sequence + 1;
        NEW.changed_at := clock_timestamp();
    END IF;
    IF (OLD.is_published OR OLD.places_taken > 0)
        AND (OLD.venue, OLD.address, OLD.time_zone, OLD.starts_at)
            IS DISTINCT FROM (NEW.venue, NEW.address, NEW.time_zone, NEW.starts_at)
    THEN
        NEW.moves := OLD.moves || jsonb_build_array(jsonb_build_object(
            'at', clock_timestamp(), 'starts_at', OLD.starts_at, 'time_zone', OLD.time_zone,
            'venue', OLD.venue, 'address', OLD.address));
        IF jsonb_array_length(NEW.moves) > 20 THEN
            NEW.moves := NEW.moves - 0;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guests_event_revision_begins BEFORE INSERT ON guests_event
    FOR EACH ROW EXECUTE FUNCTION guests_set_event_revision();
CREATE TRIGGER guests_event_revision_changes BEFORE UPDATE OF title, slug, venue, address,
    time_zone, starts_at, ends_at, cancelled_at, sequence, changed_at, moves ON guests_event
    FOR EACH ROW EXECUTE FUNCTION guests_set_event_revision();

CREATE FUNCTION guests_record_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO guests_eventchange (at, event_id, field, from_value, to_value, actor)
    SELECT clock_timestamp(), NEW.id, name, coalesce(to_jsonb(OLD) ->> name, ''),
        coalesce(to_jsonb(NEW) ->> name, ''), guests_actor()
    FROM unnest(TG_ARGV) AS name
    WHERE to_jsonb(OLD) -> name IS DISTINCT FROM to_jsonb(NEW) -> name;
    RETURN NULL;
END $$;

CREATE TRIGGER guests_event_changed AFTER UPDATE OF title, slug, description, venue, address,
    time_zone, starts_at, ends_at, list_opens_at, list_closes_at, waiting_list_ends_at,
    cancelled_at, capacity, has_waiting_list, requires_proof, is_published ON guests_event
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION guests_record_event_change('title', 'slug', 'description', 'venue', 'address',
        'time_zone', 'starts_at', 'ends_at', 'list_opens_at', 'list_closes_at',
        'waiting_list_ends_at', 'cancelled_at', 'capacity', 'has_waiting_list', 'requires_proof',
        'is_published');

CREATE TRIGGER guests_event_history_is_append_only BEFORE UPDATE OR DELETE ON guests_eventchange
    FOR EACH ROW EXECUTE FUNCTION guests_refuse_history_change();

CREATE FUNCTION guests_set_state_since() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.state_since := clock_timestamp();
    NEW.is_promoted := OLD.state = 'waiting' AND NEW.state = 'on_list';
    IF NEW.state <> 'cancelled' THEN
        NEW.ending := '';
        NEW.moved_to_id := NULL;
    ELSIF NEW.ending = '' THEN
        NEW.ending := 'removed';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guests_state_begins BEFORE UPDATE OF state ON guests_guest
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION guests_set_state_since();

CREATE FUNCTION guests_keep_revoked_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO guests_revokedqr (token, guest_id, revoked_at)
    VALUES (OLD.qr_token, OLD.id, clock_timestamp())
    ON CONFLICT (token) DO UPDATE SET revoked_at = excluded.revoked_at;
    RETURN NULL;
END $$;

CREATE TRIGGER guests_token_revoked AFTER UPDATE OF qr_token ON guests_guest
    FOR EACH ROW WHEN (OLD.qr_token IS NOT NULL AND OLD.qr_token IS DISTINCT FROM NEW.qr_token)
    EXECUTE FUNCTION guests_keep_revoked_token();
"""

BACKWARDS = """
DROP TRIGGER guests_token_revoked ON guests_guest;
DROP FUNCTION guests_keep_revoked_token();
DROP TRIGGER guests_state_begins ON guests_guest;
DROP FUNCTION guests_set_state_since();
DROP TRIGGER guests_event_history_is_append_only ON guests_eventchange;
DROP TRIGGER guests_event_changed ON guests_event;
DROP FUNCTION guests_record_event_change();
DROP TRIGGER guests_event_revision_changes ON guests_event;
DROP TRIGGER guests_event_revision_begins ON guests_event;
DROP FUNCTION guests_set_event_revision();
"""


class Migration(migrations.Migration):
    dependencies = [("guests", "0007_second_registrations")]

    operations = [
        migrations.AddField(
            model_name="event",
            name="changed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="event",
            name="moves",
            field=models.JSONField(db_default=[], default=list, editable=False),
        ),
        migrations.AddField(
            model_name="event",
            name="sequence",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="event",
            name="waiting_list_ends_at",
            field=models.DateTimeField(
                blank=True,
                help_text="After this nobody gets a place from the waiting list. Empty: when the event ends.",
                null=True,
                verbose_name="waiting list ends at",
            ),
        ),
        migrations.AddField(
            model_name="guest",
            name="ending",
            field=models.CharField(
                blank=True,
                choices=[
                    ("removed", "taken off the list"),
                    ("given_back", "given back"),
                    ("moved", "moved to another event"),
                ],
                db_default="",
                default="",
                editable=False,
                max_length=12,
                verbose_name="reason",
            ),
        ),
        migrations.AddField(
            model_name="guest",
            name="is_promoted",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        # Without an index and a constraint, which would lock a long table.
        migrations.AddField(
            model_name="guest",
            name="moved_to",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="guests.event",
            ),
        ),
        migrations.AddField(
            model_name="guest",
            name="state_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="EventChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="when"
                    ),
                ),
                ("field", models.CharField(max_length=40, verbose_name="field")),
                ("from_value", models.TextField(blank=True, verbose_name="from")),
                ("to_value", models.TextField(blank=True, verbose_name="to")),
                ("actor", models.CharField(max_length=60, verbose_name="who")),
                (
                    "event",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="guests.event",
                        verbose_name="event",
                    ),
                ),
            ],
            options={
                "verbose_name": "change of an event",
                "verbose_name_plural": "changes of events",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RevokedQr",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("token", models.CharField(max_length=32, unique=True)),
                (
                    "revoked_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "guest",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="guests.guest"
                    ),
                ),
            ],
            options={
                "verbose_name": "revoked QR code",
                "verbose_name_plural": "revoked QR codes",
            },
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
