"""Requests that are accepted, and places that are shown, while the database is unavailable."""
