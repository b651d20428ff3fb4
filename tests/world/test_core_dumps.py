import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource
from vdb.world.core_dumps import disable_core_dumps
disable_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what the system says of itself")
def test_a_process_leaves_no_core() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"
