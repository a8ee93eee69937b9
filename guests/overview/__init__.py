"""What staff and operators see of a night: counts of events, queues, the system's state."""
