"""Runs the command given, for as long as the test lives. It ends with this process however that ends, where the system can see to it."""

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
# The test holds the other end of this pipe: it closes however the test ends.
sys.stdin.read()
server.kill()
os._exit(0)
