"""Websockets, which push the states of a ticket to open pages."""
