"""What staff and operators see of a night: counts of events, queues, and the state of the system."""
