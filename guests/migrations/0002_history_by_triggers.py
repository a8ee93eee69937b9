from django.db import migrations

# Each change of a request's or guest's state leaves a line in the history, whoever made it and by
# whatever statement; a line once written cannot be changed or removed.
FORWARDS = """
CREATE FUNCTION guests_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT left(coalesce(nullif(current_setting('snap.actor', true), ''),
                         current_setting('application_name')), 60)
$$;

CREATE FUNCTION guests_record_request_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO guests_statechange (at, request_id, from_state, to_state, actor)
    VALUES (clock_timestamp(), NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state ELSE '' END,
            NEW.state, guests_actor());
    RETURN NULL;
END $$;

CREATE TRIGGER guests_request_accepted AFTER INSERT ON guests_guestrequest
    FOR EACH ROW EXECUTE FUNCTION guests_record_request_change();
CREATE TRIGGER guests_request_changed AFTER UPDATE OF state ON guests_guestrequest
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION guests_record_request_change();

CREATE FUNCTION guests_shown_state(guest guests_guest) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN guest.checked_in_at IS NULL THEN guest.state ELSE 'checked_in' END
$$;

CREATE FUNCTION guests_record_guest_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO guests_statechange (at, guest_id, from_state, to_state, actor)
    VALUES (clock_timestamp(), NEW.id,
            CASE WHEN TG_OP = 'UPDATE' THEN guests_shown_state(OLD) ELSE '' END,
            guests_shown_state(NEW), guests_actor());
    RETURN NULL;
END $$;

CREATE TRIGGER guests_guest_created AFTER INSERT ON guests_guest
    FOR EACH ROW EXECUTE FUNCTION guests_record_guest_change();
CREATE TRIGGER guests_guest_changed AFTER UPDATE OF state, checked_in_at ON guests_guest
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state
                       OR OLD.checked_in_at IS DISTINCT FROM NEW.checked_in_at)
    EXECUTE FUNCTION guests_record_guest_change();

CREATE FUNCTION guests_refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The history is append-only.';
END $$;

CREATE TRIGGER guests_history_is_append_only BEFORE UPDATE OR DELETE ON guests_statechange
    FOR EACH ROW EXECUTE FUNCTION guests_refuse_history_change();
"""

BACKWARDS = """
DROP TRIGGER guests_history_is_append_only ON guests_statechange;
DROP TRIGGER guests_guest_changed ON guests_guest;
DROP TRIGGER guests_guest_created ON guests_guest;
DROP TRIGGER guests_request_changed ON guests_guestrequest;
DROP TRIGGER guests_request_accepted ON guests_guestrequest;
DROP FUNCTION guests_refuse_history_change();
DROP FUNCTION guests_record_guest_change();
DROP FUNCTION guests_shown_state(guests_guest);
DROP FUNCTION guests_record_request_change();
DROP FUNCTION guests_actor();
"""


class Migration(migrations.Migration):
    dependencies = [("guests", "0001_guest_lists")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
