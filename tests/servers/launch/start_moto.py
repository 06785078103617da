"""Starts moto on 127.0.0.1 and the port given, for as long as the test lives."""

import os
import sys
import threading

from moto.server import main


def end_with_the_test() -> None:
    # The test holds the other end of this pipe: it closes however the test ends.
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_the_test, daemon=True).start()
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
