"""Rights of files that bind the tests whoever runs them: root, as in a container, is else bound by none.

In: a function. Out: what it returns, run where the rights of files count. Knows no test.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
VERSION_3 = 0x20080522  # of linux/capability.h: two words of each set, for 64 capabilities
LIFTING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def bound_by_rights(act: Callable[[], T]) -> T:
    """Run it in a thread of its own that has given these capabilities up: Linux keeps them for each thread."""
    with ThreadPoolExecutor(1, initializer=_give_up) as thread:
        return thread.submit(act).result()


def _give_up() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, threading.get_native_id())
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then those of the second word
    if libc.capget(header, sets) == 0:
        for one in range(3):
            sets[one] &= ~LIFTING
        if libc.capset(header, sets) == 0:
            return
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
