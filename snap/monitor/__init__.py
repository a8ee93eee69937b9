"""The load monitor: it measures how crowded the night is, and sets the modes."""
