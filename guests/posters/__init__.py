"""Posters: what staff upload, the sizes that pages show, and colours for events without one."""
