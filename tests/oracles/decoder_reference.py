"""NumPy oracle of every design of encoder, bridge and decoder, one row and one step at a time.

Options and weights come from the layers; every computation is written here once more.
"""

from typing import Any

import numpy as np

from oracles import reference
from oracles.reference import Array, arrays, sigmoid, softmax

EPSILON = 1e-3  # the default of layer normalisation in Keras and TensorFlow Addons


def normalized(x: Array, gain: Array, offset: Array) -> Array:
    return gain * (x - x.mean()) / np.sqrt(x.var() + EPSILON) + offset


def layer_norm_lstm_cell(x: Array, state: Any, weights: list[Array]) -> tuple[Array, ...]:
    """Ba et al. (2016), eq. 20 to 22: both products and the cell state are normalised."""
    kernel, recurrent_kernel, bias, *norms = weights
    h, c = state
    pre = normalized(x @ kernel, *norms[0:2]) + normalized(h @ recurrent_kernel, *norms[2:4])
    i, f, g, o = np.split(pre + bias, 4)
    c = normalized(sigmoid(f) * c + sigmoid(i) * np.tanh(g), *norms[4:6])
    return sigmoid(o) * np.tanh(c), c


CELLS = {
    "lstm": reference.lstm_cell,
    "gru": reference.gru_cell,
    "layer_norm_lstm": layer_norm_lstm_cell,
}


def block_step(block: Any, x: Array, extra: Array | None, state: Any) -> Any:
    """Returns x + LN(cell([x; extra])) and the new state; residual and norm may be absent."""
    inputs = x if extra is None else np.concatenate([x, extra])
    state = CELLS[block.cell](inputs, state, arrays(block.recurrent))
    return finished(block, x, state[0]), state


def finished(block: Any, x: Array, y: Array) -> Array:
    if block.layer_norm:
        y = normalized(y, *arrays(block.norm))
    return x + y if block.residual else y


# Encoder


def one_direction(layer: Any, cell: str, x: Array, mask: Array) -> tuple[Array, Any]:
    """Returns outputs `(S, U)` of one row, the last repeated where masked, and the state."""
    state = tuple(np.zeros(size) for size in layer.state_sizes)
    outputs = []
    for t in range(len(x)):
        if mask[t]:
            state = CELLS[cell](x[t], state, arrays(layer))
        outputs.append(state[0])
    return np.array(outputs), state


def encode(encoder: Any, source_ids: Array, features: Array | None = None) -> Any:
    """Returns values `(B, S, M)`, mask `(B, S)`, and the tensors of the state for each layer."""
    values, rows = [], []
    for b, ids in enumerate(source_ids):
        x = arrays(encoder.embedding)[0][ids]
        for i, embedding in enumerate(encoder.feature_embeddings):
            x = np.concatenate([x, arrays(embedding)[0][features[b, :, i]]], axis=-1)
        mask = ids != encoder.pad_id
        if encoder.reverse_source:
            x, mask = x[::-1], mask[::-1]
        states = []
        for block in encoder.blocks:
            y, state = one_direction(block.recurrent, block.cell, x, mask)
            if block.bidirectional:
                back, last = one_direction(block.backward, block.cell, x[::-1], mask[::-1])
                y = np.concatenate([y, back[::-1]], axis=-1)
                state = tuple(map(np.concatenate, zip(state, last, strict=True)))
            x = np.array([finished(block, before, after) for before, after in zip(x, y)])  # noqa: B905
            states.append(state)
        values.append(x[::-1] if encoder.reverse_source else x)
        rows.append(states)
    layers = [
        tuple(np.array([row[i][j] for row in rows]) for j in range(len(rows[0][i])))
        for i in range(encoder.depth)
    ]
    return np.array(values), source_ids != encoder.pad_id, layers


# Attention of one query. `before` is the alignment of the last step, and None at the first step.


def attend(attention: Any, query: Array, values: Array, mask: Array, before: Any) -> Any:
    """Returns context and weights, and the alignment that the next step takes as `before`."""
    members = getattr(attention, "members", None)
    if members is not None:
        before = before or [None] * len(members)
        parts = [attend(one, query, values, mask, b) for one, b in zip(members, before)]  # noqa: B905
        contexts, weights, after = zip(*parts, strict=True)
        return np.concatenate(contexts), np.mean(weights, axis=0), list(after)
    score = type(attention.score).__name__.removesuffix("Score").lower()
    real = np.flatnonzero(mask)
    weights = np.zeros(len(values))
    if real.size:
        kernels = arrays(attention.score)
        scores = np.array([reference._score(score, query, values[s], kernels) for s in real])
        if type(attention.probability).__name__ == "Monotonic":
            stop = sigmoid(scores + arrays(attention.probability)[0])
            start = np.eye(real.size)[0] if before is None else before[real]
            weights[real] = monotonic(stop, start)
        else:
            weights[real] = softmax(scores)
    return weights @ values, weights, weights


def monotonic(stop: Array, before: Array) -> Array:
    """Raffel et al. (2017), eq. 9: q_i = (1 − p_{i−1})·q_{i−1} + a⁻_i, a = p·q."""
    weights, arriving = np.zeros(len(stop)), 0.0
    for i in range(len(stop)):
        arriving = (1 - stop[i - 1]) * arriving + before[i] if i else before[0]
        weights[i] = stop[i] * arriving
    return weights


# Decoder


def decode(decoder: Any, target_ids: Array, state: Any, values: Array, mask: Array) -> Any:
    """Returns logits `(B, T, V)`, last state and weights `(B, T, S)`, without dropout."""
    logits, finals, attended = [], [], []
    for b in range(len(target_ids)):
        row = [tuple(part[b] for part in layer) for layer in state]
        done = decode_row(decoder, target_ids[b], row, values[b], mask[b])
        for whole, part in zip((logits, finals, attended), done, strict=True):
            whole.append(part)
    layers = [
        tuple(np.array([row[i][j] for row in finals]) for j in range(len(finals[0][i])))
        for i in range(decoder.depth)
    ]
    return np.array(logits), layers, np.array(attended)


def decode_row(decoder: Any, ids: Array, state: list[Any], values: Array, mask: Array) -> Any:
    table = arrays(decoder.embedding)[0]
    first = decoder.attention_in == "first"
    at = 0 if first else decoder.depth - 1  # the layer that attends
    before, fed = None, None
    all_logits, all_weights = [], []
    for token in ids:
        x = table[token]
        context, weights, vector, extra = None, np.zeros(len(values)), None, None
        if decoder.input_feeding:
            extra = np.zeros(vector_size(decoder, values)) if fed is None else fed
        if decoder.attend_with == "previous":
            context, weights, before = attend(decoder.attention, state[at][0], values, mask, before)
            extra = context
        for i, block in enumerate(decoder.blocks):
            x, state[i] = block_step(block, x, extra, state[i])
            extra = None
            if decoder.attention is not None and i == at:
                if decoder.attend_with == "current":
                    context, weights, before = attend(decoder.attention, x, values, mask, before)
                vector = attentional_vector(decoder, context, x)
            if first and vector is not None and reads_vector(decoder):
                extra = vector
        fed = vector
        from_attention = decoder.output_from == "attention" or (
            decoder.output_from is None and decoder.attention is not None and not first
        )
        all_logits.append(logits_of(decoder, vector if from_attention else x))
        all_weights.append(weights)
    return np.array(all_logits), state, np.array(all_weights)


def reads_vector(decoder: Any) -> bool:
    return decoder.attention is not None and decoder.attention_in == "first"


def attentional_vector(decoder: Any, context: Array, hidden: Array) -> Array:
    if decoder.attention_vector == "context":
        return context
    both = np.concatenate([context, hidden])
    if decoder.attention_vector == "concatenation":
        return both
    if decoder.attention_layer is None:
        return both[:0]  # nothing reads the vector
    activation = decoder.attention_activation or "tanh"
    functions = {"tanh": np.tanh, "linear": lambda x: x, "relu": lambda x: np.maximum(x, 0)}
    return functions[activation](both @ arrays(decoder.attention_layer)[0])


def vector_size(decoder: Any, values: Array) -> int:
    members = len(getattr(decoder.attention, "members", [0]))
    context, hidden = np.zeros(values.shape[-1] * members), np.zeros(decoder.attending_block.units)
    return attentional_vector(decoder, context, hidden).size


def logits_of(decoder: Any, hidden: Array) -> Array:
    if decoder.tied_embedding:
        logits = hidden @ arrays(decoder.embedding)[0].T
        return logits + np.asarray(decoder.bias) if decoder.output_bias else logits
    kernel, *bias = arrays(decoder.output_layer)
    return hidden @ kernel + (bias[0] if bias else 0)


# Bridges


def dense_bridge(bridge: Any, inputs: Array) -> list[tuple[Array, ...]]:
    """`activation(inputs·W + b)` for each tensor of each layer."""
    functions = {"tanh": np.tanh, "linear": lambda x: x}
    return [
        tuple(
            functions[bridge.activation](inputs @ kernel + bias)
            for kernel, bias in map(arrays, layer)
        )
        for layer in bridge.projections
    ]


def masked_mean(values: Array, mask: Array) -> Array:
    """Returns the mean over the real positions; zeros where there are none."""
    return np.array(
        [
            row[real].mean(axis=0) if real.any() else np.zeros(row.shape[-1])
            for row, real in zip(values, mask, strict=True)
        ]
    )
