"""A model as two ONNX graphs, an encoder and a decoder step: what every search is built around.

The encoder runs once per batch and turns ids into a memory and a first state. The step runs once
per token. TensorFlow traces both and tf2onnx converts them, so they hold whatever a model is made
of. The searches around them live in `loops`; people with a search of their own use the two graphs
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import onnx
import tensorflow as tf

from keras_s2s.export.onnx.conversion import converted
from keras_s2s.export.tracing import masked_ids
from keras_s2s.layers.attention import Memory
from keras_s2s.translation.translator import Translator

NEW = "new_"  # the prefix of the names under which a step returns its new state


@dataclass(frozen=True)
class ModelParts:
    """The encoder and the decoder step of a model.

    Attributes:
        encoder: the graph from `input_ids` int64 [batch, source_length] and `input_lengths` int64
            [batch] to the tensors named by `memory` and `state`.
        step: the graph from `tokens` int64 [rows], `state` and `memory` to `logits` [rows,
            vocabulary], to `weights` [rows, source_length] where the model attends, and to the new
            state, whose names begin with `NEW`. There are as many rows as sentences, or a multiple
            of them; the rows of one sentence stand together.
        memory: names of the tensors that every step reads.
        state: names of the tensors that change from step to step, with one row per hypothesis.
        vocabulary: number of logits.
        attends: whether the step returns attention weights.
    """

    encoder: onnx.ModelProto
    step: onnx.ModelProto
    memory: tuple[str, ...]
    state: tuple[str, ...]
    vocabulary: int
    attends: bool


def model_parts(translator: Translator) -> ModelParts:
    """Converts the encoder and the decoder step of a translator's model.

    Raises:
        ExportError: If something in the model has no ONNX form.
    """
    model = translator.model
    encoder, structures = _converted_encoder(translator)
    step = _converted_step(model, structures)
    encoder.graph.name, step.graph.name = "encoder", "step"
    return ModelParts(
        encoder,
        step,
        _names("memory", structures.memory),
        _names("state", structures.state),
        model.target_vocabulary_size,
        model.attends,
    )


class _Structures(NamedTuple):
    """Memory and first state of a traced encoder, nested as the model returns them."""

    memory: Any
    state: Any


def _converted_encoder(translator: Translator) -> tuple[onnx.ModelProto, _Structures]:
    model = translator.model
    traced: list[_Structures] = []

    def encode(input_ids: tf.Tensor, input_lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        memory, state = model.encode(masked_ids(translator, input_ids, input_lengths))
        traced.append(_Structures(memory, state))
        # A tensor that is returned twice, such as a mask used twice, needs a name for each use.
        return {
            name: tf.identity(tensor)
            for name, tensor in zip(
                (*_names("memory", memory), *_names("state", state)),
                (*keras.tree.flatten(memory), *keras.tree.flatten(state)),
                strict=True,
            )
        }

    encoder = tf.function(
        encode,
        input_signature=[
            tf.TensorSpec([None, None], tf.int64, name="input_ids"),
            tf.TensorSpec([None], tf.int64, name="input_lengths"),
        ],
        autograph=False,
    )
    return converted(encoder, model), traced[-1]


def _converted_step(model: Any, structures: _Structures) -> onnx.ModelProto:
    memory_names = _names("memory", structures.memory)
    state_names = _names("state", structures.state)

    def step(tokens: tf.Tensor, *tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        count = len(state_names)
        state = keras.tree.pack_sequence_as(structures.state, list(tensors[:count]))
        memory = keras.tree.pack_sequence_as(structures.memory, list(tensors[count:]))
        logits, state, weights = model.step(tokens, state, memory)
        outputs = {"logits": tf.cast(logits, tf.float32)}
        if model.attends:
            outputs["weights"] = tf.cast(weights, tf.float32)
        for name, tensor in zip(state_names, keras.tree.flatten(state), strict=True):
            outputs[NEW + name] = tf.identity(tensor)
        return outputs

    specs = [tf.TensorSpec([None], tf.int64, name="tokens")]
    for name, tensor in zip(
        (*state_names, *memory_names),
        keras.tree.flatten((structures.state, structures.memory)),
        strict=True,
    ):
        shape = [None, *tensor.shape[1:]]
        specs.append(tf.TensorSpec(shape, tensor.dtype, name=name))
    return converted(tf.function(step, input_signature=specs, autograph=False), model)


def _names(kind: str, structure: Any) -> tuple[str, ...]:
    """Names the tensors of a structure.

    The fields of a plain memory give names such as `memory_keys`; the tensors of any other
    structure are numbered: `state_0`, `state_1`, ...
    """
    if isinstance(structure, Memory) and len(keras.tree.flatten(structure)) == len(structure):
        return tuple(f"{kind}_{field}" for field in structure._fields)
    return tuple(f"{kind}_{i}" for i, _ in enumerate(keras.tree.flatten(structure)))
