"""Keeps SNAP working while a server is away, slow or overloaded.

The modules here find out that a server is away. Other modules have the code for what happens then:

- PostgreSQL: `promo/emergency.py` and `promo/api/emergency.py` have the views, `guests/emergency/`
  the journal of requests and the copies of events and places.
- The broker (Redis): `guests/requests/creating.py: create_guest_now` creates guests in the web
  process. The sweeper does the rest of the workers' work (`guests/sweeps.py`).
- The limits (Redis): `snap/limits/counters_without_redis.py` counts them in each process.
- The mail provider: emails stay queued (`notifications/sending.py`).
"""
