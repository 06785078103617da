"""Runs moto on 127.0.0.1 and the given port until the test ends."""

import os
import sys
import threading

from moto.server import main


def end_with_the_test() -> None:
    # The test holds the other end of this pipe, which closes however the test ends.
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_the_test, daemon=True).start()
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
