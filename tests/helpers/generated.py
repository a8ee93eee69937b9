"""Files that commands generate into the repository."""

import os
from pathlib import Path


def write_generated(path: Path, content: bytes) -> None:
    """Write a file, and print whether that has changed it."""
    name = os.path.relpath(path)
    if path.exists() and path.read_bytes() == content:
        print(f"{name} is unchanged.")
        return
    path.write_bytes(content)
    print(f"{name} is written.")
