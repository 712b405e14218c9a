"""A model in two pieces, encoder and step, as ONNX graphs: what every search is built around.

The encoder runs once: ids to a memory and a first state. The step runs once a token. Both are
traced by TensorFlow and converted by tf2onnx, so they hold whatever a model is made of; searches
around them are the work of `loops`, and people with searches of their own use them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import onnx
import tensorflow as tf

from keras_s2s.export.onnx.conversion import converted
from keras_s2s.export.tracing import masked_ids
from keras_s2s.layers.attention import Memory
from keras_s2s.translation.translator import Translator

NEW = "new_"  # begins the names of the state that a step hands on


@dataclass(frozen=True)
class Pieces:
    """Encoder and step of a model.

    Attributes:
        encoder: `input_ids` int64 [batch, source_length] and `input_lengths` int64 [batch] to the
            values of `memory` and `state`.
        step: `tokens` int64 [rows], `state` and `memory` to `logits` [rows, vocabulary], `weights`
            [rows, source_length] where the model attends, and the state under names that begin
            with `NEW`. There are as many rows as sentences, or a multiple: those of a sentence
            stand together.
        memory: names of what is read at every step.
        state: names of what changes from step to step, one row per hypothesis each.
        vocabulary: number of logits.
        attends: whether there are weights.
    """

    encoder: onnx.ModelProto
    step: onnx.ModelProto
    memory: tuple[str, ...]
    state: tuple[str, ...]
    vocabulary: int
    attends: bool


def pieces_of(translator: Translator) -> Pieces:
    """Converts encoder and step.

    Raises:
        ExportError: If something in the model has no ONNX form.
    """
    model = translator.model
    structures: dict[str, Any] = {}

    def encode(input_ids: tf.Tensor, input_lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        memory, state = model.encode(masked_ids(translator, input_ids, input_lengths))
        structures.update(memory=memory, state=state)
        # A value that is handed on as it came, such as a mask used twice, needs a name of its own.
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
    encoder_model = converted(encoder, model)
    memory_names = _names("memory", structures["memory"])
    state_names = _names("state", structures["state"])

    def step(tokens: tf.Tensor, *tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        count = len(state_names)
        state = keras.tree.pack_sequence_as(structures["state"], list(tensors[:count]))
        memory = keras.tree.pack_sequence_as(structures["memory"], list(tensors[count:]))
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
        keras.tree.flatten((structures["state"], structures["memory"])),
        strict=True,
    ):
        shape = [None, *tensor.shape[1:]]
        specs.append(tf.TensorSpec(shape, tensor.dtype, name=name))
    step_model = converted(tf.function(step, input_signature=specs, autograph=False), model)
    encoder_model.graph.name, step_model.graph.name = "encoder", "step"
    return Pieces(
        encoder_model,
        step_model,
        memory_names,
        state_names,
        model.target_vocabulary_size,
        model.attends,
    )


def _names(kind: str, structure: Any) -> tuple[str, ...]:
    """A name for each tensor: `memory_keys` of a plain memory, else `state_0`, `state_1`, ..."""
    if isinstance(structure, Memory) and len(keras.tree.flatten(structure)) == len(structure):
        return tuple(f"{kind}_{field}" for field in structure._fields)
    return tuple(f"{kind}_{i}" for i, _ in enumerate(keras.tree.flatten(structure)))
