"""Requests for a place: accepting them, making guests of them, and the tickets that show them."""
