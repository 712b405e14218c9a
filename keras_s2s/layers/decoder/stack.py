"""The recurrent layers of a decoder with their attention: made, built and run as a design says.

From embedded tokens to what the logits come from. One step of many rows, or a whole sequence: in a
few large products where the design allows it, in one loop inside the graph where a step needs the
one before it.
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


class Passage(NamedTuple):
    """What a pass through the layers gives, of one step `(N, …)` or of all of them `(B, T, …)`."""

    hidden: Any  # what the logits come from
    weights: Any
    cells: State
    fed: Tensors  # what input feeding carries on
    attending: Any  # the attention's state


class DecoderStack:
    """Recurrent layers, attention and the attentional vector of a `Decoder`.

    This is a plain object and no Keras layer: the layers that it makes are attributes of the
    decoder as well, where Keras tracks them and names their weights in files.

    Args:
        design: what the layers are and how they are joined.
        dtype: policy of the layers.
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
        """Per layer, the width of each tensor of the state."""
        return tuple(block.state_sizes for block in self.blocks)

    def build(self, width: int, memory_shape: Any) -> int:
        """Makes the weights for embeddings of `width`; returns the width of the hidden vectors."""
        context = vector = 0
        if self.attention is not None:
            values = values_shape(memory_shape)
            attending = self.attending_block.units
            if not self.attention.built:
                self.attention.build((None, None, attending), values)
            context = self.attention.context_size(values)
            joined = self.design.attention_vector == "concatenation"
            vector = context + (attending if joined else 0)
            if self.attention_layer is not None:
                self.attention_layer.build((None, None, context + attending))
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
        """See `Decoder.memory`."""
        if self.attention is not None:
            return self.attention.memory(encoded)
        return Memory(*encoded) if len(encoded) == 3 else Memory(encoded[0], *encoded)

    def run(
        self, x: Any, state: State, memory: Memory, training: bool | None
    ) -> tuple[Any, State, Any]:
        """All steps: embeddings `(B, T, E)` to `(hidden (B, T, W), state, weights (B, T, S))`."""
        cells, fed, attending = self._split(state, memory)
        if self.design.looped:
            done = self._loop(x, cells, fed, attending, memory, training)
        else:

            def layer(i: int, x: Any, before: Tensors, extra: Any) -> tuple[Any, Tensors]:
                kwargs = {"initial_state": before, "extra": extra, "training": training}
                return self.blocks[i](x, **kwargs)

            def attend(query: Any, attending: Any) -> Any:
                return self.attention.sequence(query, memory, attending, training)

            done = self._through(x, cells, fed, attending, layer, attend)
        return self._answer(done, memory)

    def run_step(self, x: Any, state: State, memory: Memory) -> tuple[Any, State, Any]:
        """One step: embeddings `(N, E)` to `(hidden (N, W), state, weights (N, S))`."""
        cells, fed, attending = self._split(state, memory)
        done = self._step(x, cells, fed, attending, memory)
        return self._answer(done, memory)

    def _through(
        self,
        x: Any,
        cells: State,
        fed: Tensors,
        attending: Any,
        layer: Callable[[int, Any, Tensors, Any], tuple[Any, Tensors]],
        attend: Callable[[Any, Any], tuple[Any, Any, Any]],
    ) -> Passage:
        """Through the layers: the same for one step and for all steps at once."""
        design = self.design
        context = vector = weights = None
        extra = fed[0] if fed else None
        if design.attend_with == "previous":
            context, weights, attending = attend(cells[design.attending_layer][0], attending)
            extra = context
        after = []
        for i in range(design.depth):
            x, state = layer(i, x, cells[i], extra)
            after.append(state)
            if self.attention is not None and i == design.attending_layer:
                if design.attend_with == "current":
                    context, weights, attending = attend(x, attending)
                vector = self._vector(context, x) if design.has_vector else None
            extra = vector
        hidden = vector if design.from_attention else x
        fed = (ops.cast(vector, self.compute_dtype),) if design.input_feeding else ()
        return Passage(hidden, weights, tuple(after), fed, attending)

    def _vector(self, context: Any, x: Any) -> Any:
        """The attentional vector `a_t` of contexts and states, both `(…, width)`."""
        if self.design.attention_vector == "context":
            return context
        both = ops.concatenate([ops.cast(context, x.dtype), x], axis=-1)
        return both if self.attention_layer is None else self.attention_layer(both)

    def _step(
        self,
        x: Any,
        cells: State,
        fed: Tensors,
        attending: Any,
        memory: Memory,
        block_noise: Any = None,
        noise: Any = (),
    ) -> Passage:
        def layer(i: int, x: Any, before: Tensors, extra: Any) -> tuple[Any, Tensors]:
            dropped = block_noise[i] if block_noise else ((), ())
            return self.blocks[i].step(x, before, extra, dropped)

        def attend(query: Any, attending: Any) -> Any:
            return self.attention.step(query, memory, attending, noise)

        return self._through(x, cells, fed, attending, layer, attend)

    def _loop(
        self,
        x: Any,
        cells: State,
        fed: Tensors,
        attending: Any,
        memory: Memory,
        training: bool | None,
    ) -> Passage:
        """All steps, one after the other."""
        rows, steps = ops.shape(x)[0], ops.shape(x)[1]
        per_step: Any = ((), ())  # drawn for each step: dropout of inputs, noise of the attention
        kept: Any = ()  # drawn once: recurrent dropout
        if training and self.attention is not None:
            pairs = zip(self.blocks, self._input_sizes, strict=True)
            drawn = [block.noise(rows, steps, size) for block, size in pairs]
            per_step = (tuple(each for each, _ in drawn), self.attention.noise(memory, steps))
            kept = tuple(each for _, each in drawn)
        state = (cells, fed, attending)

        def body(flat: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            cells, fed, attending = keras.tree.pack_sequence_as(state, list(flat))
            dropped, noise = keras.tree.pack_sequence_as(per_step, list(inputs[1:]))
            of_blocks = tuple(zip(dropped, kept, strict=True)) if kept else None
            done = self._step(inputs[0], cells, fed, attending, memory, of_blocks, noise)
            return tuple(keras.tree.flatten(done[2:])), (done.hidden, done.weights)

        width = self._vector_size if self.design.from_attention else self.blocks[-1].units
        last, (hidden, weights) = scan(
            body,
            tuple(keras.tree.flatten(state)),
            tuple(time_first(part) for part in (x, *keras.tree.flatten(per_step))),
            (width, memory.values.shape[1]),
            (self.compute_dtype, weights_dtype(self.attention)),
        )
        after = keras.tree.pack_sequence_as(state, list(last))
        return Passage(time_first(hidden), time_first(weights), *after)

    def _answer(self, done: Passage, memory: Memory) -> tuple[Any, State, Any]:
        weights = done.weights
        if self.attention is None:
            # Nothing is attended to: zeros of (…, S), so that callers need no special case.
            shape = (*ops.shape(done.hidden)[:-1], ops.shape(memory.mask)[1])
            weights = ops.zeros(shape, dtype=weights_dtype(self))
        return done.hidden, self._whole(done.cells, done.fed, done.attending), weights

    def initial_state(self, state: State, memory: Memory) -> State:
        """See `Decoder.initial_state`."""
        return self._whole(*self._split(state, memory))

    def _whole(self, cells: State, fed: Tensors, attending: Any) -> State:
        return (*cells, (fed, attending)) if self.design.carries else tuple(cells)

    def _split(self, state: State, memory: Memory) -> tuple[State, Tensors, Any]:
        """The layers' state, what is fed, the attention's state; begun where they are missing."""
        depth = self.design.depth
        # What is carried is a pair with a tuple in front; a further layer's state holds tensors.
        whole = self.design.carries and len(state) == depth + 1
        whole = whole and isinstance(state[-1][0], (tuple, list))
        cells = state[:depth] if whole else state
        self._check_state(cells)
        cells = tuple(tuple(layer) for layer in cells)
        if whole:
            return cells, *state[-1]
        fed: Tensors = ()
        if self.design.input_feeding:
            rows = ops.shape(cells[0][0])[0]
            fed = (ops.zeros((rows, self._vector_size), dtype=self.compute_dtype),)
        if self.attention is None:
            return cells, fed, ()
        batch = ops.shape(memory.values)[0]

        def repeated(x: Any) -> Any:
            # (B, …) to (N, …), each row of x behind itself, without knowing N / B.
            spread = ops.reshape(cells[0][0][:, :1], (batch, -1, *[1] * (len(x.shape) - 1)))
            spread = ops.zeros_like(ops.cast(spread, x.dtype))
            return ops.reshape(x[:, None] + spread, (-1, *ops.shape(x)[1:]))

        attending = self.attention.initial_state(memory)
        return cells, fed, keras.tree.map_structure(repeated, attending)

    def _check_state(self, state: Any) -> None:
        """A state that does not fit means a bridge is missing, which no later error would say."""
        widths = keras.tree.map_structure(lambda x: tuple(x.shape)[-1], state)
        widths = tuple(tuple(x) if isinstance(x, (tuple, list)) else x for x in widths)
        if widths != self.state_sizes:
            raise ValueError(
                "`state` must hold one tuple of tensors per layer, of the widths "
                f"{self.state_sizes}; got {widths}. DenseBridge(decoder.state_sizes) makes such a "
                "state out of any encoder's."
            )
