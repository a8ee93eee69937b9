"""QR codes: their tokens, images and codewords."""
