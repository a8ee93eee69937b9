"""QR codes: tokens, images, and the pass that a code leads to."""
