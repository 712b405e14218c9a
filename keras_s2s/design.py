"""The options of a decoder between its embedding and its output layer, and what they mean together.

Which state attends, how the attentional vector is made, what is fed back, what the logits come
from. Nothing is accepted that would change nothing. How a design is run is in `attending`.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_s2s import stack
from keras_s2s.attention import mechanism, values_shape
from keras_s2s.system.checks import (
    check_activation,
    check_choice,
    check_flags,
    check_shares,
    check_size,
)

VECTORS = ("layer", "concatenation", "context")


class Design(keras.layers.Layer):
    """Recurrent layers with attention, given as options of `Decoder`, which describes them."""

    attention: Any  # a Mechanism, or None

    def __init__(
        self,
        *,
        units: int | None,
        depth: int | None,
        cell: Any,
        attention: Any,
        attention_vector: str | None,
        attention_size: int | None,
        attention_activation: str | None,
        attend_with: str,
        attention_in: str,
        input_feeding: bool,
        output_from: str | None,
        residual: bool,
        layer_norm: bool,
        dropout: float,
        recurrent_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_shares(dropout=dropout, recurrent_dropout=recurrent_dropout)
        check_flags(input_feeding=input_feeding, residual=residual, layer_norm=layer_norm)
        check_choice("attention_vector", attention_vector, (None, *VECTORS))
        check_choice("attend_with", attend_with, ("current", "previous"))
        check_choice("attention_in", attention_in, ("last", "first"))
        check_choice("output_from", output_from, (None, "attention", "cell"))
        if attention_size is not None:
            check_size("attention_size", attention_size)
        if attention_activation is not None:
            check_activation("attention_activation", attention_activation)
        policy = self.dtype_policy
        self.units = units
        self.cell = cell
        self.attention = None if attention is None else mechanism(attention, policy)
        self.attention_vector = attention_vector
        self.attention_size = attention_size
        self.attention_activation = attention_activation
        self.attend_with = attend_with
        self.attention_in = attention_in
        self.input_feeding = input_feeding
        self.output_from = output_from
        self.residual = residual
        self.layer_norm = layer_norm
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.blocks = stack.blocks(
            cell,
            units,
            depth,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            residual=residual,
            layer_norm=layer_norm,
            dtype=policy,
        )
        _check(self)
        self.attention_layer = None
        if self.has_vector and (attention_vector or "layer") == "layer":
            self.attention_layer = keras.layers.Dense(
                attention_size or self.attending_block.units,
                activation=attention_activation or "tanh",
                use_bias=False,
                dtype=policy,
                name="attention_layer",
            )

    @property
    def depth(self) -> int:
        """Number of recurrent layers."""
        return len(self.blocks)

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Per layer, the width of each tensor of the state."""
        return tuple(block.state_sizes for block in self.blocks)

    @property
    def looped(self) -> bool:
        """Whether a step of the layers needs the one before it, so that `call` loops over them."""
        return self.input_feeding or self.attend_with == "previous"

    @property
    def carries(self) -> bool:
        """Whether the state holds more than the layers' own: see `initial_state`."""
        return self.input_feeding or (self.attention is not None and self.attention.remembers)

    @property
    def attending_block(self) -> Any:
        """The layer whose state attends."""
        return self.blocks[0 if self.attention_in == "first" else -1]

    @property
    def from_attention(self) -> bool:
        """Whether the logits come from the attentional vector."""
        if self.output_from is None:
            return self.attention is not None and self.attention_in == "last"
        return self.output_from == "attention"

    @property
    def has_vector(self) -> bool:
        """Whether anything reads the attentional vector."""
        upward = self.attention is not None and self.attention_in == "first"
        return self.from_attention or self.input_feeding or upward

    def build_stack(self, width: int, memory_shape: Any) -> int:
        """Makes the weights for embeddings of `width`; returns the width of the hidden vectors."""
        context = vector = 0
        if self.attention is not None:
            values = values_shape(memory_shape)
            attending = self.attending_block.units
            if not self.attention.built:
                self.attention.build((None, None, attending), values)
            context = self.attention.context_size(values)
            vector = context + (attending if self.attention_vector == "concatenation" else 0)
            if self.attention_layer is not None:
                self.attention_layer.build((None, None, context + attending))
                vector = self.attention_layer.units
        self._input_sizes = []
        self._vector_size = vector
        for i, block in enumerate(self.blocks):
            extra = vector if self.attention_in == "first" and i else 0
            if i == 0 and self.looped:
                extra = context if self.attend_with == "previous" else vector
            if not block.built:
                block.build((None, None, width), (None, None, extra) if extra else None)
            self._input_sizes.append(width + extra)
            width = block.units
        return vector if self.from_attention else width

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "depth": self.depth,
            "cell": stack.serialized_cell(self.cell),
            "attention": keras.saving.serialize_keras_object(self.attention),
            "attention_vector": self.attention_vector,
            "attention_size": self.attention_size,
            "attention_activation": self.attention_activation,
            "attend_with": self.attend_with,
            "attention_in": self.attention_in,
            "input_feeding": self.input_feeding,
            "output_from": self.output_from,
            "residual": self.residual,
            "layer_norm": self.layer_norm,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        attention = keras.saving.deserialize_keras_object(config["attention"])
        cell = stack.deserialized_cell(config["cell"])
        return cls(**{**config, "attention": attention, "cell": cell})


def _check(decoder: Any) -> None:
    """Raises ValueError for options that contradict each other or would change nothing."""
    given = {
        "attention_vector": decoder.attention_vector,
        "attention_size": decoder.attention_size,
        "attention_activation": decoder.attention_activation,
        "output_from": decoder.output_from if decoder.output_from == "attention" else None,
        "attend_with": None if decoder.attend_with == "current" else decoder.attend_with,
        "attention_in": None if decoder.attention_in == "last" else decoder.attention_in,
        "input_feeding": decoder.input_feeding or None,
    }
    if decoder.attention is None:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"`{name}` needs attention; got attention=None, {name}={value!r}.")
        return
    if decoder.input_feeding and decoder.attend_with == "previous":
        raise ValueError(
            "Attention with the previous state feeds its context already: leave "
            "`input_feeding` out; got attend_with='previous', input_feeding=True."
        )
    if decoder.attention_in == "first" and decoder.depth == 1:
        raise ValueError("`attention_in='first'` needs a layer above the first; got depth=1.")
    if decoder.attention_in == "first" and decoder.from_attention:
        raise ValueError(
            "With attention in the first layer the logits come from the layers above it: "
            "`output_from` must be 'cell' or left out; got output_from='attention'."
        )
    if not decoder.has_vector and decoder.attend_with == "current":
        raise ValueError(
            "Nothing would read the attention: output_from='cell' needs `input_feeding`, "
            "attend_with='previous' or attention_in='first'."
        )
    if not decoder.has_vector and decoder.attention_vector is not None:
        raise ValueError(
            "`attention_vector` is what the logits, `input_feeding` or layers above the attention "
            "read, and this decoder has none of them; got "
            f"attention_vector={decoder.attention_vector!r}, output_from='cell'."
        )
    vector = decoder.attention_vector or "layer"
    for name in ("attention_size", "attention_activation"):
        if given[name] is not None and (vector != "layer" or not decoder.has_vector):
            raise ValueError(
                f"`{name}` belongs to an attention layer, and this decoder has none; got "
                f"attention_vector={vector!r}, {name}={given[name]!r}."
            )
    attending = decoder.attending_block
    if decoder.attend_with == "previous" and hasattr(attending.cell, "cells"):
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output, and that of {type(attending.cell).__name__} belongs to its lowest cell: give "
            "`cell` a list, one cell a layer."
        )
    state, size = attending.state_sizes[0], attending.units
    if decoder.attend_with == "previous" and state != size:
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output; it is {state} wide, and the output {size}."
        )
    dropping = [
        cell.name
        for block in decoder.blocks
        for cell in keras.tree.flatten(getattr(block.cell, "cells", block.cell))
        if getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0)
    ]
    if decoder.looped and dropping:
        raise ValueError(
            "A decoder that loops applies dropout itself: give `dropout` to the decoder, not "
            f"to its Keras cells; got cells with dropout: {', '.join(dropping)}."
        )
