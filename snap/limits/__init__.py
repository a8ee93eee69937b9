"""Rate limits: layers and counters in Redis, the policy of each route, challenges."""
