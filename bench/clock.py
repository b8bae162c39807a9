"""A timer that keeps to the microsecond (timerfd): the loop's own rounds up to milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ExactTimer:
    """Calls ``fire`` at the monotonic time that was last given to ``arm``."""

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        asyncio.get_running_loop().add_reader(self._fd, self._expired)

    def arm(self, at: float) -> None:
        whole = int(at)
        when = _Itimerspec(_Timespec(0, 0), _Timespec(whole, int((at - whole) * 1e9)))
        _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(when), None)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._fire()
