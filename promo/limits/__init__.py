"""The limits of routes: policies, their enforcement, the 429 response and the challenge."""
