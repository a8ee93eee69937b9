"""Rate limits: counters in Redis, the policy of each route, challenges."""
