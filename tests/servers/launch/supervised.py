"""Runs the given command until the test ends.

On Linux the command also ends if this process is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys


def end_with_its_parent() -> None:
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except AttributeError:
        pass  # Not Linux.


server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=end_with_its_parent)
# The test holds the other end of this pipe, which closes however the test ends.
sys.stdin.read()
server.kill()
os._exit(0)
