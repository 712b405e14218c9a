"""TensorFlow's C API through ctypes: runs a SavedModel where Python's TensorFlow is never imported.

The library is the shared objects of an installed wheel, or of one that was only unpacked. A
SavedModel is loaded by the function that a server loads it with (`LoadSavedModel`), and a signature
is run as a server runs it: `Session::Run` on the tensor names of its SignatureDef.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.export.serving.messages import MetaGraphDef, OpList

# `DataType` of TensorFlow and the dtypes that signatures of this library have, strings apart.
STRING = 7
DTYPES: dict[int, type[np.generic]] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    9: np.int64,
    10: np.bool_,
}
CODES = {np.dtype(kind): code for code, kind in DTYPES.items()}
_STRING_SIZE = 24  # of a TF_TString
_INVALID_ARGUMENT, _FAILED_PRECONDITION = 3, 9

# The libraries of TensorFlow Text that hold its operators, by what they are called in the wheel
# without the underscore; a server holds those of its own version alone.
TEXT_LIBRARIES = "tensorflow_text/python/ops"


class StatusError(RuntimeError):
    """What TensorFlow said instead of a result.

    Attributes:
        code: the canonical code; 3 is an invalid argument, 5 something not found.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class TensorInfo(NamedTuple):
    """A tensor of a signature.

    Attributes:
        operation: the name of the operation that gives it.
        place: which of that operation's outputs it is.
        dtype: its `DataType`.
        shape: its sizes, -1 where they are free; None where not even their number is known.
    """

    operation: str
    place: int
    dtype: int
    shape: tuple[int, ...] | None


class Signature(NamedTuple):
    """Inputs and outputs of a signature, by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class _Output(ctypes.Structure):
    _fields_ = (("oper", ctypes.c_void_p), ("index", ctypes.c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def installed_site() -> Path:
    """The folder that holds the installed `tensorflow` package, found without importing it."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise ImportError("TensorFlow's shared libraries cannot be found: it is not installed.")
    return Path(spec.origin).parent.parent


class Library:
    """The shared libraries of one TensorFlow. A program can load one.

    Args:
        site: the folder that holds `tensorflow/`, and `tensorflow_text/` for its operators; the
            installed one when omitted.
        leave_out: libraries of TensorFlow Text that a server lacks, as 'trimmer_ops'.
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
        """Loads the operators of TensorFlow Text, but for some libraries."""
        for path in sorted((self.site / TEXT_LIBRARIES).glob("_*.so")):
            if path.stem.removeprefix("_") not in set(leave_out):
                self.checked("TF_LoadLibrary", ctypes.c_void_p, str(path).encode())

    def call(self, name: str, returns: Any, *arguments: Any) -> Any:
        """Calls a function of the C API; integers that are no ctypes are passed as 64 bits."""
        function = self._functions.get(name)
        if function is None:
            owner = next(library for library in self._libraries if hasattr(library, name))
            function = self._functions[name] = getattr(owner, name)
        function.restype = returns
        return function(*(_as_ctype(argument) for argument in arguments))

    def checked(self, name: str, returns: Any, *arguments: Any) -> Any:
        """Calls a function whose last argument is a status, which must be OK.

        Raises:
            StatusError: If it is not.
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
        """The attributes of every operator that is registered, by its name."""
        pointer = self.call("TF_GetAllOpList", ctypes.POINTER(_Buffer))
        content = ctypes.string_at(pointer.contents.data, pointer.contents.length)
        self.call("TF_DeleteBuffer", None, pointer)
        return {
            operator.name: sorted(attribute.name for attribute in operator.attr)
            for operator in OpList.FromString(content).op
        }

    def tensor(self, array: np.ndarray) -> int:
        """A TF_Tensor with what an array holds; strings are bytes in an array of objects."""
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        strings = array.dtype == object
        code = STRING if strings else CODES.get(array.dtype)
        if code is None:
            raise TypeError(f"A tensor must be of bytes or {DTYPES}; got {array.dtype}.")
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
        """What a TF_Tensor holds."""
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
        """Frees a TF_Tensor and the strings in it."""
        pointer = ctypes.c_void_p(tensor)
        if self.call("TF_TensorType", ctypes.c_int, pointer) == STRING:
            data = self.call("TF_TensorData", ctypes.c_void_p, pointer)
            for place in range(self.call("TF_TensorElementCount", ctypes.c_int64, pointer)):
                entry = ctypes.c_void_p(data + place * _STRING_SIZE)
                self.call("TF_StringDealloc", None, entry)
        self.call("TF_DeleteTensor", None, pointer)


class Session:
    """A SavedModel, loaded as a server loads it: tag `serve`.

    Args:
        library: the TensorFlow that loads it.
        folder: the SavedModel's version folder.

    Attributes:
        signatures: its signatures by name.

    Raises:
        StatusError: If TensorFlow does not load it.
    """

    def __init__(self, library: Library, folder: Path) -> None:
        self.library = library
        self._graph = library.call("TF_NewGraph", ctypes.c_void_p)
        options = library.call("TF_NewSessionOptions", ctypes.c_void_p)
        meta = library.call("TF_NewBuffer", ctypes.POINTER(_Buffer))
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.checked(
            "TF_LoadSessionFromSavedModel",
            ctypes.c_void_p,
            ctypes.c_void_p(options),
            None,
            str(folder).encode(),
            tags,
            ctypes.c_int(1),
            ctypes.c_void_p(self._graph),
            meta,
        )
        content = ctypes.string_at(meta.contents.data, meta.contents.length)
        library.call("TF_DeleteBuffer", None, meta)
        library.call("TF_DeleteSessionOptions", None, ctypes.c_void_p(options))
        self.signatures = read_signatures(content)

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: an array for each of its inputs.
            outputs: names of those wanted; all when omitted.

        Raises:
            StatusError: What a server or TensorFlow says is wrong.
        """
        declared = self.signatures.get(signature)
        if declared is None:
            raise StatusError(
                _FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.'
            )
        wanted = sorted(declared.outputs) if outputs is None else list(outputs)
        if set(inputs) != set(declared.inputs):
            extra = ", ".join(sorted(set(inputs) - set(declared.inputs)))
            missing = ", ".join(sorted(set(declared.inputs) - set(inputs)))
            raise StatusError(
                _INVALID_ARGUMENT,
                f"input size does not match signature: {len(inputs)}!={len(declared.inputs)}. "
                f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.",
            )
        if unknown := sorted(set(wanted) - set(declared.outputs)):
            raise StatusError(
                _INVALID_ARGUMENT, f"output tensor alias not found in signature: {unknown[0]}"
            )
        library = self.library
        fed = [self._output(declared.inputs[name]) for name in inputs]
        fetched = [self._output(declared.outputs[name]) for name in wanted]
        tensors = [library.tensor(array) for array in inputs.values()]
        returned = (ctypes.c_void_p * len(fetched))()
        try:
            library.checked(
                "TF_SessionRun",
                None,
                ctypes.c_void_p(self._session),
                None,
                (_Output * len(fed))(*fed),
                (ctypes.c_void_p * len(tensors))(*tensors),
                ctypes.c_int(len(fed)),
                (_Output * len(fetched))(*fetched),
                returned,
                ctypes.c_int(len(fetched)),
                None,
                ctypes.c_int(0),
                None,
            )
            arrays = [library.array(tensor) for tensor in returned if tensor is not None]
        finally:
            for tensor in [*tensors, *(tensor for tensor in returned if tensor is not None)]:
                library.delete(tensor)
        return dict(zip(wanted, arrays, strict=True))

    def _output(self, info: TensorInfo) -> _Output:
        operation = self.library.call(
            "TF_GraphOperationByName",
            ctypes.c_void_p,
            ctypes.c_void_p(self._graph),
            info.operation.encode(),
        )
        if operation is None:
            raise StatusError(_INVALID_ARGUMENT, f"The graph has no operation {info.operation!r}.")
        return _Output(operation, info.place)


def read_signatures(meta_graph: bytes) -> dict[str, Signature]:
    """The signatures of a serialized MetaGraphDef, without the one that initialises a graph."""
    return {
        name: Signature(_tensor_infos(signature.inputs), _tensor_infos(signature.outputs))
        for name, signature in MetaGraphDef.FromString(meta_graph).signature_def.items()
        if name != "__saved_model_init_op"
    }


def _tensor_infos(messages: Mapping[str, Any]) -> dict[str, TensorInfo]:
    infos = {}
    for name, message in messages.items():
        operation, _, index = message.name.partition(":")
        shape = message.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        infos[name] = TensorInfo(operation, int(index or 0), message.dtype, sizes)
    return infos


def _as_ctype(argument: Any) -> Any:
    return ctypes.c_int64(argument) if isinstance(argument, int) else argument
