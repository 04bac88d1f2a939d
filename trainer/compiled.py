"""Compiles kernels with numba, remembering the result on disk wherever that is possible."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Returns `function` compiled for the argument types that it meets, without the interpreter's lock.

    Where numba can write a cache neither beside the source nor in the user's folder, each process compiles for itself.
    """
    try:
        compiled: Function = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError as error:  # numba has no class of its own for this
        if "no locator available" not in str(error):
            raise
        compiled = numba.njit(nogil=True)(function)
    return compiled
