"""Run as a program of its own: become the account, tie our life to the parent's, become PostgreSQL.

``python -I -S launch_postgres.py UID GID PARENT_PID PROGRAM ARGUMENT...``; a UID of -1 changes nothing,
a PARENT_PID of 0 ties nothing. It stands between the server and PostgreSQL because code between fork
and exec may deadlock in a process that has threads.

The order matters: changing the account clears the death signal. The signal follows the *thread* that
forked, so the server starts PostgreSQL from the thread of its event loop, which lives as long as it does.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    uid, gid, parent = (int(number) for number in arguments[:3])
    command = arguments[3:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if parent and sys.platform == "linux":
        # SIGINT is PostgreSQL's fast shutdown: sessions end, nothing committed is lost.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # the server died before the signal was set
            raise SystemExit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
