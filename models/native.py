"""LightGBM's C library, called directly: native text in, raw scores and leaves out.

Serving needs four calls. Going to the library itself keeps the Python wrapper (and what it
imports) out of the doors, and gives single rows their fast call. Handles are opened from
text only; nothing is unpickled.
"""

from __future__ import annotations

import ctypes
import json
import sys
import weakref
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from risk.domain.errors import BadModel

_FLOAT64: Final = 1
_RAW: Final = 1
_LEAF: Final = 2
_CONTRIBUTIONS: Final = 3
_ROW_MAJOR: Final = 1
_ALL_TREES: Final = -1
# One thread: the doors run one process per core, and a team of threads costs more than a row.
_PARAMETERS: Final = b"num_threads=1 verbosity=-1 predict_disable_shape_check=false"
_LIBRARY_NAMES: Final = {"darwin": "lib_lightgbm.dylib", "win32": "lib_lightgbm.dll"}
_SIGNATURES: Final = (
    "LGBM_BoosterLoadModelFromString", "LGBM_BoosterFree", "LGBM_BoosterGetNumFeature",
    "LGBM_BoosterGetNumClasses", "LGBM_BoosterNumberOfTotalModel", "LGBM_BoosterPredictForMat",
    "LGBM_BoosterPredictForMatSingleRowFastInit", "LGBM_BoosterPredictForMatSingleRowFast",
    "LGBM_FastConfigFree", "LGBM_BoosterDumpModel",
)  # fmt: skip


@cache
def library() -> ctypes.CDLL:
    """The shared library of the installed ``lightgbm`` wheel; raises BadModel without it."""
    spec = find_spec("lightgbm")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    name = _LIBRARY_NAMES.get(sys.platform, "lib_lightgbm.so")
    for folder in folders:
        for place in (Path(folder) / "lib" / name, Path(folder) / "bin" / name):
            if place.is_file():
                return _declared(ctypes.CDLL(str(place)))
    raise BadModel(f"{name} is not in the lightgbm package: install the locked requirements")


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    lib.LGBM_GetLastError.restype = ctypes.c_char_p
    for name in _SIGNATURES:
        getattr(lib, name).restype = ctypes.c_int
    lib.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return lib


def _check(status: int) -> None:
    if status != 0:
        message = library().LGBM_GetLastError() or b"no reason given"
        raise BadModel(f"LightGBM: {message.decode(errors='replace')}")


def _free(handle: ctypes.c_void_p, fast: ctypes.c_void_p) -> None:
    if fast.value:
        library().LGBM_FastConfigFree(fast)
    library().LGBM_BoosterFree(handle)


class NativeModel:
    """One model, loaded from LightGBM's native text. Safe to call from several threads.

    Raises BadModel where the library refuses the text, and where it is not a model of one
    output. Hostile text can crash the library: load unknown text in ``models.verify`` first.
    """

    def __init__(self, text: str) -> None:
        lib = library()
        handle = ctypes.c_void_p()
        trees = ctypes.c_int()
        _check(
            lib.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text.encode()), ctypes.byref(trees), ctypes.byref(handle)
            )
        )
        self._handle = handle
        self._fast = ctypes.c_void_p()
        weakref.finalize(self, _free, handle, self._fast)
        self.features = self._integer("LGBM_BoosterGetNumFeature")
        self.trees = self._integer("LGBM_BoosterNumberOfTotalModel")
        if self._integer("LGBM_BoosterGetNumClasses") != 1:
            raise BadModel("the model has more than one output; train it with objective binary")
        _check(
            lib.LGBM_BoosterPredictForMatSingleRowFastInit(
                handle,
                ctypes.c_int(_RAW),
                ctypes.c_int(0),
                ctypes.c_int(_ALL_TREES),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(self.features),
                ctypes.c_char_p(_PARAMETERS),
                ctypes.byref(self._fast),
            )
        )
        self._predict_row = lib.LGBM_BoosterPredictForMatSingleRowFast

    def raw_row(self, row: NDArray[np.float64]) -> float:
        """Raw score (log-odds) of one row: float64, contiguous, ``features`` long."""
        out = ctypes.c_double()
        length = ctypes.c_int64()
        status = self._predict_row(
            self._fast, row.ctypes.data, ctypes.addressof(length), ctypes.addressof(out)
        )
        _check(status)
        return out.value

    def raw(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw scores (log-odds), shape (n,), of a contiguous float64 matrix (n, features)."""
        return self._predict(matrix, _RAW, 1)[:, 0]

    def leaves(self, matrix: NDArray[np.float64]) -> NDArray[np.int32]:
        """The leaf that each row reaches in each tree, shape (n, trees)."""
        return self._predict(matrix, _LEAF, self.trees).astype(np.int32)

    def shap(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each feature adds to the raw score, shape (n, features + 1); last the base."""
        return self._predict(matrix, _CONTRIBUTIONS, self.features + 1)

    def thresholds(self, feature: int) -> list[float]:
        """The values at which trees split on a feature, ascending."""
        found: set[float] = set()
        waiting = [info["tree_structure"] for info in self.dump()["tree_info"]]
        while waiting:
            node = waiting.pop()
            if "split_feature" in node:
                waiting += [node["left_child"], node["right_child"]]
                if node["split_feature"] == feature:
                    found.add(float(node["threshold"]))
        return sorted(found)

    def dump(self) -> dict[str, Any]:
        """LightGBM's JSON description of the trees."""
        length = ctypes.c_int64()
        size = 1 << 20
        while True:
            buffer = ctypes.create_string_buffer(size)
            _check(
                library().LGBM_BoosterDumpModel(
                    self._handle,
                    ctypes.c_int(0),
                    ctypes.c_int(_ALL_TREES),
                    ctypes.c_int(0),
                    ctypes.c_int64(size),
                    ctypes.byref(length),
                    buffer,
                )
            )
            if length.value <= size:
                described: dict[str, Any] = json.loads(buffer.value)
                return described
            size = length.value

    def _predict(self, matrix: NDArray[np.float64], kind: int, width: int) -> NDArray[np.float64]:
        rows, columns = matrix.shape
        out = np.empty((rows, width), dtype=np.float64)
        length = ctypes.c_int64()
        if rows == 0:
            return out
        _check(
            library().LGBM_BoosterPredictForMat(
                self._handle,
                ctypes.c_void_p(matrix.ctypes.data),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(rows),
                ctypes.c_int32(columns),
                ctypes.c_int(_ROW_MAJOR),
                ctypes.c_int(kind),
                ctypes.c_int(0),
                ctypes.c_int(_ALL_TREES),
                ctypes.c_char_p(_PARAMETERS),
                ctypes.byref(length),
                ctypes.c_void_p(out.ctypes.data),
            )
        )
        if length.value != out.size:
            raise BadModel(f"LightGBM returned {length.value} values, {out.size} were expected")
        return out

    def _integer(self, call: str) -> int:
        value = ctypes.c_int()
        _check(getattr(library(), call)(self._handle, ctypes.byref(value)))
        return value.value
