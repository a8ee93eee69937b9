"""Keeps SNAP working while a server is away, slow or overloaded."""
