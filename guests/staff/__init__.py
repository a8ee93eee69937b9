"""The live dashboard of staff: pages, and the parts of them that are pushed over websockets."""
