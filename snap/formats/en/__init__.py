"""English, as the people at an event in Portugal read it."""
