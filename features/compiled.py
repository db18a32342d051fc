"""How the functions of the kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "_nrt": False}


def compiled(function: _Function) -> _Function:
    """Compiled without a count of references to arrays, for functions that make no array.

    Numba counts them at every call, by locked instructions: in functions as short as these that
    took three quarters of the time. It refuses to compile one that makes an array; ``njit`` is
    for those, and for those that return one.
    """
    return cast("_Function", njit(**_OPTIONS)(function))
