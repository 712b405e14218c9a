"""Calls TensorFlow's C API through ctypes, without importing Python's TensorFlow.

The libraries are the shared objects of an installed wheel, or of one that was only unpacked.
`session` runs SavedModels with them.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_s2s.export.serving.messages import OpList

# TensorFlow's `DataType` of strings, and of the other dtypes that this library's signatures have.
STRING = 7
DTYPES: dict[int, type[np.generic]] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    9: np.int64,
    10: np.bool_,
}
CODES = {np.dtype(kind): code for code, kind in DTYPES.items()}
_STRING_SIZE = 24  # bytes of a TF_TString

# The folder of TensorFlow Text's operator libraries in its wheel. The name of a library is its
# file's name without the leading underscore. A server holds only the libraries of its own version.
TEXT_LIBRARIES = "tensorflow_text/python/ops"


class StatusError(RuntimeError):
    """An error that TensorFlow, or a server, reports instead of a result.

    Attributes:
        code: the canonical status code; 3 is an invalid argument, 5 means not found.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Buffer(ctypes.Structure):
    """TensorFlow's TF_Buffer: a pointer to bytes and their number."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def installed_site() -> Path:
    """Returns the folder that holds the installed `tensorflow` package, without importing it.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise ImportError(
            "TensorFlow's shared libraries cannot be found, because TensorFlow is not installed. "
            "Install it with `pip install tensorflow`."
        )
    return Path(spec.origin).parent.parent


class Library:
    """The shared libraries of one TensorFlow. A process can load only one.

    Args:
        site: folder that holds `tensorflow/`, and `tensorflow_text/` for its operators; the folder
            of the installed packages when omitted.
        leave_out: names of libraries of TensorFlow Text not to load because a server lacks them,
            such as 'trimmer_ops'.

    Attributes:
        version: the version of TensorFlow.
    """

    def __init__(self, site: Path | None = None, leave_out: Iterable[str] = ()) -> None:
        self.site = installed_site() if site is None else site
        home = self.site / "tensorflow"
        framework = ctypes.CDLL(str(home / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        core = ctypes.CDLL(str(home / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        self._functions: dict[str, Any] = {}
        self._libraries = (core, framework)
        self.version = ctypes.string_at(self.call("TF_Version", ctypes.c_void_p)).decode()
        self.load_text(leave_out)

    def load_text(self, leave_out: Iterable[str] = ()) -> None:
        """Loads the operators of TensorFlow Text, except for the libraries in `leave_out`."""
        for path in sorted((self.site / TEXT_LIBRARIES).glob("_*.so")):
            if path.stem.removeprefix("_") not in set(leave_out):
                self.checked("TF_LoadLibrary", ctypes.c_void_p, str(path).encode())

    def call(self, name: str, returns: Any, *arguments: Any) -> Any:
        """Calls a function of the C API; Python integers are passed as 64 bits."""
        function = self._functions.get(name)
        if function is None:
            owner = next(library for library in self._libraries if hasattr(library, name))
            function = self._functions[name] = getattr(owner, name)
        function.restype = returns
        return function(*(_as_ctype(argument) for argument in arguments))

    def checked(self, name: str, returns: Any, *arguments: Any) -> Any:
        """Calls a function whose last argument is a status, and checks that status.

        Raises:
            StatusError: If the status is not OK.
        """
        status = self.call("TF_NewStatus", ctypes.c_void_p)
        try:
            result = self.call(name, returns, *arguments, ctypes.c_void_p(status))
            code = self.call("TF_GetCode", ctypes.c_int, ctypes.c_void_p(status))
            if code:
                pointer = self.call("TF_Message", ctypes.c_void_p, ctypes.c_void_p(status))
                raise StatusError(code, ctypes.string_at(pointer).decode("utf-8", "replace"))
        finally:
            self.call("TF_DeleteStatus", None, ctypes.c_void_p(status))
        return result

    def operators(self) -> dict[str, list[str]]:
        """Returns the attributes of every registered operator, by the operator's name."""
        pointer = self.call("TF_GetAllOpList", ctypes.POINTER(Buffer))
        content = ctypes.string_at(pointer.contents.data, pointer.contents.length)
        self.call("TF_DeleteBuffer", None, pointer)
        return {
            operator.name: sorted(attribute.name for attribute in operator.attr)
            for operator in OpList.FromString(content).op
        }

    def tensor(self, array: np.ndarray) -> int:
        """Copies an array into a new TF_Tensor; strings are bytes in an array of objects.

        Raises:
            TypeError: If the array has another dtype than those of `DTYPES` and strings.
        """
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        strings = array.dtype == object
        code = STRING if strings else CODES.get(array.dtype)
        if code is None:
            names = ", ".join(str(dtype) for dtype in CODES)
            raise TypeError(f"An array must hold bytes or be {names}; got {array.dtype}.")
        size = array.size * _STRING_SIZE if strings else array.nbytes
        tensor: int = self.call(
            "TF_AllocateTensor", ctypes.c_void_p, ctypes.c_int(code), dims, array.ndim, size
        )
        data = self.call("TF_TensorData", ctypes.c_void_p, ctypes.c_void_p(tensor))
        if not strings:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
            return tensor
        for place, text in enumerate(array.ravel().tolist()):
            entry = ctypes.c_void_p(data + place * _STRING_SIZE)
            self.call("TF_StringInit", None, entry)
            self.call("TF_StringCopy", None, entry, ctypes.c_char_p(text), len(text))
        return tensor

    def array(self, tensor: int) -> np.ndarray:
        """Returns the values of a TF_Tensor as an array."""
        pointer = ctypes.c_void_p(tensor)
        code = self.call("TF_TensorType", ctypes.c_int, pointer)
        rank = self.call("TF_NumDims", ctypes.c_int, pointer)
        shape = [self.call("TF_Dim", ctypes.c_int64, pointer, ctypes.c_int(i)) for i in range(rank)]
        count = int(np.prod(shape, dtype=np.int64))
        data = self.call("TF_TensorData", ctypes.c_void_p, pointer)
        if code != STRING:
            size = self.call("TF_TensorByteSize", ctypes.c_size_t, pointer)
            content = ctypes.string_at(data, size) if size else b""
            return np.frombuffer(content, DTYPES[code]).reshape(shape)
        texts = np.empty(count, object)
        for place in range(count):
            entry = ctypes.c_void_p(data + place * _STRING_SIZE)
            start = self.call("TF_StringGetDataPointer", ctypes.c_void_p, entry)
            texts[place] = ctypes.string_at(
                start, self.call("TF_StringGetSize", ctypes.c_size_t, entry)
            )
        return texts.reshape(shape)

    def delete(self, tensor: int) -> None:
        """Frees a TF_Tensor and the strings that it holds."""
        pointer = ctypes.c_void_p(tensor)
        if self.call("TF_TensorType", ctypes.c_int, pointer) == STRING:
            data = self.call("TF_TensorData", ctypes.c_void_p, pointer)
            for place in range(self.call("TF_TensorElementCount", ctypes.c_int64, pointer)):
                entry = ctypes.c_void_p(data + place * _STRING_SIZE)
                self.call("TF_StringDealloc", None, entry)
        self.call("TF_DeleteTensor", None, pointer)


def _as_ctype(argument: Any) -> Any:
    return ctypes.c_int64(argument) if isinstance(argument, int) else argument
