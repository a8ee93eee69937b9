"""Passes: the page with a QR code that a guest shows at the door, and the images on it."""
