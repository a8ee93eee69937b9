"""How processes end."""

import subprocess
import sys

import pytest

from snap.local.processes import BASE_DIR
from tests.helpers.programs import program_environment

# A ring of references is only found by a look through all objects.
PROGRAM = """
import django
django.setup()

class Ring:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("found")

ring = Ring()
del ring
print("end")
"""


@pytest.mark.slow
def test_no_process_looks_through_its_objects_at_its_end() -> None:
    """That takes 0.3 s of CPU: `emails`, with its low priority, needed 20 s on a busy machine."""
    environ = program_environment(DJANGO_SETTINGS_MODULE="snap.settings")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=BASE_DIR, env=environ, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("end\n", "")
