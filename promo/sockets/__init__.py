"""Websockets: open pages hear of their ticket."""
