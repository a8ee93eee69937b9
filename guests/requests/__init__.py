"""The way of a request: accepted, made into a guest, shown as a ticket."""
