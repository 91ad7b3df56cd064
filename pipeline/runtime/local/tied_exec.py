"""Becomes another program that ends with its parent, on Linux: ``python -I -S tied_exec.py PARENT_PID COMMAND …``.

A program of its own and not a ``preexec_fn``, which may dead-lock in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become(parent_pid: int, command: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's end, whatever ends it, and execute the command.

    Raises
    ------
    OSError
        If the kernel refuses, or the command cannot be executed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), unused, unused, unused) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it ended before the kernel knew
        os._exit(1)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
