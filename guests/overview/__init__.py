"""A night at a glance: what is queued, how events fill up, how the system is."""
