"""The recurrent layers of a decoder with their attention, built and run as a design says.

The layers turn embedded tokens into the hidden vectors that the logits come from. They run one step
of many rows, or a whole sequence. A sequence takes a few large products if the design allows it,
and one loop inside the graph if a step needs the step before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.layers import stack
from keras_s2s.layers.attention import Encoded, Memory, values_shape
from keras_s2s.layers.attention.mechanism import time_first
from keras_s2s.layers.attention.memory import weights_dtype
from keras_s2s.layers.decoder.design import Design
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.layers.stack import State


class StackOutput(NamedTuple):
    """Results of the layers for one step `(N, …)`, or for all steps `(B, T, …)`."""

    hidden: Any  # the vectors that the logits come from
    weights: Any  # attention weights; None without attention
    layer_states: State  # the state of each layer
    fed: Tensors  # the vector that input feeding carries to the next step, or ()
    attention_state: Any  # the state of the attention


class DecoderStack:
    """Runs steps 2 to 4 of a `Decoder`: recurrent layers, attention and attentional vector.

    This is a plain object and not a Keras layer. The layers that it makes are also attributes of
    the decoder, where Keras tracks them and names their weights in files.

    Args:
        design: the options that say what the layers are and how they are joined.
        dtype: dtype policy of the layers.
    """

    def __init__(self, design: Design, dtype: Any) -> None:
        self.design = design
        self.compute_dtype: str = dtype.compute_dtype
        self.attention: Any = design.attention  # a Mechanism, or None
        self.blocks = stack.blocks(
            design.cell,
            design.units,
            design.depth,
            dropout=design.dropout,
            recurrent_dropout=design.recurrent_dropout,
            residual=design.residual,
            layer_norm=design.layer_norm,
            dtype=dtype,
        )
        self.attention_layer = None
        if design.has_attention_layer:
            self.attention_layer = keras.layers.Dense(
                design.attention_size or self.attending_block.units,
                activation=design.attention_activation or "tanh",
                use_bias=False,
                dtype=dtype,
                name="attention_layer",
            )

    @property
    def attending_block(self) -> Any:
        """The layer whose state attends."""
        return self.blocks[self.design.attending_layer]

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The width of each tensor of the state, one tuple per layer."""
        return tuple(block.state_sizes for block in self.blocks)

    def build(self, width: int, memory_shape: Any) -> int:
        """Makes the weights for inputs of `width`, and returns the width of the hidden vectors."""
        context = vector = 0  # widths of the context and of the attentional vector
        if self.attention is not None:
            values = values_shape(memory_shape)
            query = self.attending_block.units
            if not self.attention.built:
                self.attention.build((None, None, query), values)
            context = self.attention.context_size(values)
            joined = self.design.attention_vector == "concatenation"
            vector = context + (query if joined else 0)
            if self.attention_layer is not None:
                self.attention_layer.build((None, None, context + query))
                vector = self.attention_layer.units
        self._input_sizes = []
        self._vector_size = vector
        for i, block in enumerate(self.blocks):
            extra = vector if self.design.attention_in == "first" and i else 0
            if i == 0 and self.design.looped:
                extra = context if self.design.attend_with == "previous" else vector
            if not block.built:
                block.build((None, None, width), (None, None, extra) if extra else None)
            self._input_sizes.append(width + extra)
            width = block.units
        return vector if self.design.from_attention else width

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Makes the attention's memory of an encoded source, as `Decoder.memory` describes."""
        if self.attention is not None:
            return self.attention.memory(encoded)
        return Memory(*encoded) if len(encoded) == 3 else Memory(encoded[0], *encoded)

    def run(
        self, x: Any, state: State, memory: Memory, training: bool | None
    ) -> tuple[Any, State, Any]:
        """Runs all steps: `x (B, T, E)` to `(hidden (B, T, W), state, weights (B, T, S))`."""
        layer_states, fed, attention_state = self._split_state(state, memory)
        if self.design.looped:
            output = self._run_loop(x, layer_states, fed, attention_state, memory, training)
        else:

            def layer(i: int, x: Any, before: Tensors, extra: Any) -> tuple[Any, Tensors]:
                kwargs = {"initial_state": before, "extra": extra, "training": training}
                return self.blocks[i](x, **kwargs)

            def attend(query: Any, attention_state: Any) -> Any:
                return self.attention.sequence(query, memory, attention_state, training)

            output = self._run_layers(x, layer_states, fed, attention_state, layer, attend)
        return self._results(output, memory)

    def run_step(self, x: Any, state: State, memory: Memory) -> tuple[Any, State, Any]:
        """Runs one step: `x (N, E)` to `(hidden (N, W), state, weights (N, S))`."""
        layer_states, fed, attention_state = self._split_state(state, memory)
        output = self._run_layers_once(x, layer_states, fed, attention_state, memory)
        return self._results(output, memory)

    def _run_layers(
        self,
        x: Any,
        layer_states: State,
        fed: Tensors,
        attention_state: Any,
        layer: Callable[[int, Any, Tensors, Any], tuple[Any, Tensors]],
        attend: Callable[[Any, Any], tuple[Any, Any, Any]],
    ) -> StackOutput:
        """Runs the layers with their attention, for one step or for all steps at once.

        Args:
            x: embeddings `(N, E)` or `(B, T, E)`.
            layer_states: the state of each layer.
            fed: the attentional vector of the step before, in a tuple, or ().
            attention_state: the state of the attention.
            layer: function that runs the layer of an index on inputs, its state and further inputs.
            attend: function from queries and the attention's state to context, weights and new
                state.
        """
        design = self.design
        context = vector = weights = None
        extra = fed[0] if fed else None
        if design.attend_with == "previous":
            # 3. Attention comes before the layers, because its context enters the first one.
            context, weights, attention_state = attend(
                layer_states[design.attending_layer][0], attention_state
            )
            extra = context
        states = []
        for i in range(design.depth):
            # 2. Recurrent layers.
            x, state = layer(i, x, layer_states[i], extra)
            states.append(state)
            if self.attention is not None and i == design.attending_layer:
                if design.attend_with == "current":
                    # 3. Attention with the state of this layer.
                    context, weights, attention_state = attend(x, attention_state)
                # 4. Attentional vector.
                vector = self._vector(context, x) if design.has_vector else None
            extra = vector
        hidden = vector if design.from_attention else x
        fed = (ops.cast(vector, self.compute_dtype),) if design.input_feeding else ()
        return StackOutput(hidden, weights, tuple(states), fed, attention_state)

    def _vector(self, context: Any, x: Any) -> Any:
        """Computes the attentional vector `a_t` from contexts and states, both `(…, width)`."""
        if self.design.attention_vector == "context":
            return context
        both = ops.concatenate([ops.cast(context, x.dtype), x], axis=-1)
        return both if self.attention_layer is None else self.attention_layer(both)

    def _run_layers_once(
        self,
        x: Any,
        layer_states: State,
        fed: Tensors,
        attention_state: Any,
        memory: Memory,
        block_noise: Any = None,
        noise: Any = (),
    ) -> StackOutput:
        """Runs the layers for one step, with dropout masks that were drawn before the loop."""

        def layer(i: int, x: Any, before: Tensors, extra: Any) -> tuple[Any, Tensors]:
            masks = block_noise[i] if block_noise else ((), ())
            return self.blocks[i].step(x, before, extra, masks)

        def attend(query: Any, attention_state: Any) -> Any:
            return self.attention.step(query, memory, attention_state, noise)

        return self._run_layers(x, layer_states, fed, attention_state, layer, attend)

    def _run_loop(
        self,
        x: Any,
        layer_states: State,
        fed: Tensors,
        attention_state: Any,
        memory: Memory,
        training: bool | None,
    ) -> StackOutput:
        """Runs all steps one after the other, in a loop inside the graph."""
        rows, steps = ops.shape(x)[0], ops.shape(x)[1]
        per_step: Any = ((), ())  # drawn for each step: input dropout and attention noise
        state_masks: Any = ()  # drawn once for all steps: recurrent dropout
        if training and self.attention is not None:
            pairs = zip(self.blocks, self._input_sizes, strict=True)
            masks = [block.noise(rows, steps, size) for block, size in pairs]
            input_masks = tuple(input_mask for input_mask, _ in masks)
            per_step = (input_masks, self.attention.noise(memory, steps))
            state_masks = tuple(state_mask for _, state_mask in masks)
        state = (layer_states, fed, attention_state)

        def body(flat: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            layer_states, fed, attention_state = keras.tree.pack_sequence_as(state, list(flat))
            input_masks, noise = keras.tree.pack_sequence_as(per_step, list(inputs[1:]))
            block_noise = tuple(zip(input_masks, state_masks, strict=True)) if state_masks else None
            output = self._run_layers_once(
                inputs[0], layer_states, fed, attention_state, memory, block_noise, noise
            )
            return tuple(keras.tree.flatten(output[2:])), (output.hidden, output.weights)

        width = self._vector_size if self.design.from_attention else self.blocks[-1].units
        final, (hidden, weights) = scan(
            body,
            tuple(keras.tree.flatten(state)),
            tuple(time_first(part) for part in (x, *keras.tree.flatten(per_step))),
            (width, memory.values.shape[1]),
            (self.compute_dtype, weights_dtype(self.attention)),
        )
        final_state = keras.tree.pack_sequence_as(state, list(final))
        return StackOutput(time_first(hidden), time_first(weights), *final_state)

    def _results(self, output: StackOutput, memory: Memory) -> tuple[Any, State, Any]:
        """Returns hidden vectors, the whole state and attention weights."""
        weights = output.weights
        if self.attention is None:
            # Without attention the weights are zeros (…, S), so that callers need no special case.
            shape = (*ops.shape(output.hidden)[:-1], ops.shape(memory.mask)[1])
            weights = ops.zeros(shape, dtype=weights_dtype(self))
        return (
            output.hidden,
            self._join_state(output.layer_states, output.fed, output.attention_state),
            weights,
        )

    def initial_state(self, state: State, memory: Memory) -> State:
        """Adds the other states to the layers' states, as `Decoder.initial_state` describes."""
        return self._join_state(*self._split_state(state, memory))

    def _join_state(self, layer_states: State, fed: Tensors, attention_state: Any) -> State:
        """Joins the layers' states, the fed vector and the attention's state."""
        return (
            (*layer_states, (fed, attention_state)) if self.design.carries else tuple(layer_states)
        )

    def _split_state(self, state: State, memory: Memory) -> tuple[State, Tensors, Any]:
        """Splits a decoder's state into the layers' states, fed vector and attention's state.

        A bridge makes only the layers' states. The fed vector and the attention's state then get
        their initial values.
        """
        depth = self.design.depth
        # The last part is a pair that begins with a tuple. A layer's state would begin with a
        # tensor.
        whole = self.design.carries and len(state) == depth + 1
        whole = whole and isinstance(state[-1][0], (tuple, list))
        layer_states = state[:depth] if whole else state
        self._check_state(layer_states)
        layer_states = tuple(tuple(layer) for layer in layer_states)
        if whole:
            return layer_states, *state[-1]
        fed: Tensors = ()
        if self.design.input_feeding:
            rows = ops.shape(layer_states[0][0])[0]
            fed = (ops.zeros((rows, self._vector_size), dtype=self.compute_dtype),)
        if self.attention is None:
            return layer_states, fed, ()
        batch = ops.shape(memory.values)[0]

        def repeated(x: Any) -> Any:
            # From (B, …) to (N, …), with copies of a row adjacent, without knowing N / B.
            spread = ops.reshape(layer_states[0][0][:, :1], (batch, -1, *[1] * (len(x.shape) - 1)))
            spread = ops.zeros_like(ops.cast(spread, x.dtype))
            return ops.reshape(x[:, None] + spread, (-1, *ops.shape(x)[1:]))

        attention_state = self.attention.initial_state(memory)
        return layer_states, fed, keras.tree.map_structure(repeated, attention_state)

    def _check_state(self, state: Any) -> None:
        """Raises ValueError for a state of other widths, which mostly means a missing bridge.

        No later error would name this reason.
        """
        widths = keras.tree.map_structure(lambda x: tuple(x.shape)[-1], state)
        widths = tuple(tuple(x) if isinstance(x, (tuple, list)) else x for x in widths)
        if widths != self.state_sizes:
            raise ValueError(
                "`state` must hold one tuple of tensors per layer, of the widths "
                f"{self.state_sizes}; got {widths}. DenseBridge(decoder.state_sizes) makes such a "
                "state out of any encoder's."
            )
