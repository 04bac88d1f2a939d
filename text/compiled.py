"""Compiles kernels with numba, remembering the result on disk wherever that is possible.

numba writes its cache beside the source, or, where that folder is read-only, in the user's cache folder. Where neither
can be written (a container without a home, say) it refuses to decorate at all; then each process compiles for itself.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Returns `function` compiled for the argument types it meets (no Python objects), without the interpreter's lock.

    Integer overflow wraps around; division by zero gives infinities, as in NumPy.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # numba has no class of its own for this
        if "no locator available" not in str(error):
            raise
        compiled = numba.njit(**options)(function)
    return compiled
