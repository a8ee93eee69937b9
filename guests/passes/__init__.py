"""Passes: the page with the QR code for the door, and its images."""
