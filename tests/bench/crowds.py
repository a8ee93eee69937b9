"""Long lists: guests with their requests, emails, history and images.

PostgreSQL makes the rows itself, without triggers and checks. The rows of the triggers are written
with the others.
"""

import os
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from guests.models import Event
from guests.qr.codes import image_name, store_image
from tests.bench.people import make_accounts

ROWS = """
CREATE TEMPORARY TABLE crowd ON COMMIT DROP AS
SELECT account.id AS account_id, account.phone, account.email,
       account.first_name || ' ' || account.last_name AS name,
       row_number() OVER (ORDER BY account.id) AS number,
       nextval(pg_get_serial_sequence('guests_guestrequest', 'id')) AS request_id,
       nextval(pg_get_serial_sequence('guests_guest', 'id')) AS guest_id
FROM accounts_user AS account WHERE account.id BETWEEN %(first)s AND %(last)s;

INSERT INTO guests_guest (id, event_id, account_id, phone, name, state, queue_number, listings,
                          qr_token)
SELECT guest_id, %(event)s, account_id, phone, name, 'on_list', request_id, 1,
       %(prefix)s || lpad(number::text, 9, '0')
FROM crowd;

INSERT INTO guests_guestrequest (id, ticket_id, event_id, account_id, phone, name, state, guest_id,
                                 ended_at, refusal, attempts, error)
SELECT request_id, gen_random_uuid(), %(event)s, account_id, phone, name, 'created', guest_id,
       now(), '', 0, ''
FROM crowd;

INSERT INTO guests_statechange (request_id, guest_id, from_state, to_state, actor)
SELECT request_id, NULL::bigint, '', 'pending', 'snap-bench' FROM crowd
UNION ALL SELECT request_id, NULL, 'pending', 'created', 'snap-bench' FROM crowd
UNION ALL SELECT NULL, guest_id, '', 'on_list', 'snap-bench' FROM crowd;

INSERT INTO notifications_email (kind, cause, "to", language, state, fast, attempts, provider_id,
                                 error, sent_at)
SELECT 'qr_code', 'guest:' || guest_id || '/1', email, 'pt-pt', 'sent', false, 1, '', '', now()
FROM crowd
UNION ALL
SELECT 'welcome', 'account:' || account_id, email, 'pt-pt', 'sent', false, 1, '', '', now()
FROM crowd;

UPDATE guests_event SET places_taken = places_taken + %(size)s WHERE id = %(event)s;
"""
TABLES = "guests_guest, guests_guestrequest, guests_statechange, notifications_email, accounts_user"
# Maximum hard links to one image. ext4 allows 65,000 for a file.
LINKS_PER_FILE = 30_000


def fill_list(event: Event, size: int) -> None:
    """Put guests on the list of an event, each with all its rows and its image."""
    accounts = make_accounts(size)
    prefix = f"bench-{event.pk}-"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        given = {"first": accounts[0], "last": accounts[-1], "event": event.pk}
        for statement in ROWS.split(";\n"):
            if statement.strip():
                cursor.execute(statement, given | {"prefix": prefix, "size": size})
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {TABLES}")
    _give_images(prefix, size)


def _give_images(prefix: str, size: int) -> None:
    """Give each token an image. Many are links to one file, because nothing reads its content."""
    first = ""
    for number in range(1, size + 1):
        token = f"{prefix}{number:09}"
        if number % LINKS_PER_FILE == 1:
            first = token
            store_image(token)
        else:
            os.link(_path(first), _path(token))


def _path(token: str) -> Path:
    return Path(settings.MEDIA_ROOT) / image_name(token)
