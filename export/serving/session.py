"""Runs the signatures of a SavedModel through TensorFlow's C API, as a server does.

A SavedModel is loaded by the function that a server calls for it (`LoadSavedModel`), and a
signature runs as it runs in a server: `Session::Run` on the tensor names of its SignatureDef.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.export.serving.c_api import Buffer, Library, StatusError
from keras_s2s.export.serving.messages import MetaGraphDef

_INVALID_ARGUMENT, _FAILED_PRECONDITION = 3, 9


class TensorInfo(NamedTuple):
    """A tensor of a signature.

    Attributes:
        operation: name of the operation that computes the tensor.
        place: number of the tensor among that operation's outputs.
        dtype: TensorFlow's `DataType` of the tensor.
        shape: sizes of the axes, -1 for any size; None if the number of axes is unknown.
    """

    operation: str
    place: int
    dtype: int
    shape: tuple[int, ...] | None


class Signature(NamedTuple):
    """The inputs and outputs of a signature, by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class _Output(ctypes.Structure):
    """TensorFlow's TF_Output: an operation and the number of one of its outputs."""

    _fields_ = (("oper", ctypes.c_void_p), ("index", ctypes.c_int))


class Session:
    """A SavedModel, loaded as a server loads it, by its tag `serve`.

    Args:
        library: the TensorFlow that loads the SavedModel.
        folder: the SavedModel's version folder.

    Attributes:
        signatures: the signatures of the SavedModel, by name.

    Raises:
        StatusError: If TensorFlow fails to load the SavedModel.
    """

    def __init__(self, library: Library, folder: Path) -> None:
        self.library = library
        self._graph = library.call("TF_NewGraph", ctypes.c_void_p)
        options = library.call("TF_NewSessionOptions", ctypes.c_void_p)
        meta = library.call("TF_NewBuffer", ctypes.POINTER(Buffer))
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
            signature: name of the signature.
            inputs: an array for each input of the signature.
            outputs: names of the outputs to compute; all outputs when omitted.

        Returns:
            An array for each of these outputs.

        Raises:
            StatusError: If a server would refuse the request, or TensorFlow fails.
        """
        declared = self.signatures.get(signature)
        if declared is None:
            raise StatusError(
                _FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.'
            )
        fetched = sorted(declared.outputs) if outputs is None else list(outputs)
        _check_names(declared, inputs, fetched)
        library = self.library
        fed_outputs = [self._output(declared.inputs[name]) for name in inputs]
        fetched_outputs = [self._output(declared.outputs[name]) for name in fetched]
        tensors = [library.tensor(array) for array in inputs.values()]
        returned = (ctypes.c_void_p * len(fetched_outputs))()
        try:
            self._run(fed_outputs, tensors, fetched_outputs, returned)
            arrays = [library.array(tensor) for tensor in returned if tensor is not None]
        finally:
            for tensor in [*tensors, *(tensor for tensor in returned if tensor is not None)]:
                library.delete(tensor)
        return dict(zip(fetched, arrays, strict=True))

    def _run(
        self,
        fed: Sequence[_Output],
        tensors: Sequence[int],
        fetched: Sequence[_Output],
        returned: ctypes.Array[ctypes.c_void_p],
    ) -> None:
        """Runs the graph, and writes the tensors of the `fetched` outputs to `returned`."""
        self.library.checked(
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


def _check_names(
    signature: Signature, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> None:
    """Refuses inputs and outputs that a signature does not have, in the words of a server."""
    if set(inputs) != set(signature.inputs):
        extra = ", ".join(sorted(set(inputs) - set(signature.inputs)))
        missing = ", ".join(sorted(set(signature.inputs) - set(inputs)))
        raise StatusError(
            _INVALID_ARGUMENT,
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)}. "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.",
        )
    if unknown := sorted(set(outputs) - set(signature.outputs)):
        raise StatusError(
            _INVALID_ARGUMENT, f"output tensor alias not found in signature: {unknown[0]}"
        )


def read_signatures(meta_graph: bytes) -> dict[str, Signature]:
    """Returns the signatures of a serialized MetaGraphDef, except that of its initialisation."""
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
