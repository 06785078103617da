"""Runs the PostgreSQL of the package `pgserver` until the test ends.

The arguments are the folder of the package, and the port on 127.0.0.1. The data is new.

PostgreSQL refuses to run as root. Root runs it as the user nobody, from a copy in a temporary
folder, because the folder of the package may be closed to others.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

package, port = sys.argv[1:]

# The test kills this process. The child ends later, and removes the folder.
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
    options = {"cwd": folder, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        package = shutil.copytree(package, os.path.join(folder, "package"))
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        options.update(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    programs = os.path.join(package, "pgserver", "pginstall", "bin")
    data = os.path.join(folder, "data")

    initdb = [os.path.join(programs, "initdb"), "-D", data, "-U", "postgres"]
    initdb += ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    subprocess.run(initdb, check=True, **options)

    postgres = [os.path.join(programs, "postgres"), "-D", data, "-p", port]
    postgres += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    server = subprocess.Popen(postgres, **options)

    def end_with_the_test() -> None:
        # The test holds the other end of this pipe, which closes however the test ends.
        sys.stdin.read()
        server.send_signal(signal.SIGQUIT)

    threading.Thread(target=end_with_the_test, daemon=True).start()
    status = server.wait()
# A thread that still reads stdin would end `sys.exit` with an error.
os._exit(status & 0xFF)
