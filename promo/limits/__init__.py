"""The limits of routes: enforced, explained to people, and lifted by a challenge."""
