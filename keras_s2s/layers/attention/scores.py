"""Scores, which say how well a query matches each key, before they become probabilities.

To add a score, write one `Score` subclass and give it a name with `named_score`. The scores that
depend on past alignments are in the modules `location` and `coverage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import Shape
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_optional_size

SCORES: dict[str, type[Score]] = {}


class Score(keras.layers.Layer):
    """A score of how well each query matches each key. Abstract.

    A subclass defines `keys` and `call`, and `build` if it has weights. A score that depends on
    past alignments sets `follows_alignment` and defines `initial_state` and `advance`; `call` then
    takes the state's tensors as arguments after the keys. `named_score` gives a score a name and
    registers it for saving.

    Example: A subclass that halves the keys of `DotScore`.
    >>> class HalvedDotScore(DotScore):
    ...     def keys(self, values):
    ...         return values / 2
    >>> attention = Attention(HalvedDotScore())
    """

    follows_alignment: ClassVar[bool] = False

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        """Makes the weights for queries `(B, T, U)` and values `(B, S, M)`."""

    def keys(self, values: Any) -> Any:
        """Computes the keys of values `(B, S, M)`: one or a tuple of tensors `(B, S, A)`."""
        raise NotImplementedError

    def call(self, query: Any, keys: Any, *state: Any) -> Any:
        """Computes the scores before softmax: `(B, T, U)` and `(B, S, A)` to `(B, T, S)`."""
        raise NotImplementedError

    def initial_state(self, keys: Any, mask: Any, dtype: str) -> Tensors:
        """Returns the state before the first step: tensors `(B, S)`, or () without a state.

        Args:
            keys: the result of the method `keys`.
            mask: `(B, S)` bool, True where the source has a real token.
            dtype: dtype of the state.
        """
        return ()

    def advance(self, state: Tensors, weights: Any, keys: Any) -> Tensors:
        """Returns the state after a step with these weights; all tensors are `(B, T, S)`."""
        return ()

    # Defined so that Keras accepts a subclass without options, which needs no `get_config`.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


def named_score(name: str) -> Callable[[type[Score]], type[Score]]:
    """Makes a class decorator that registers a `Score` under a name.

    From then on `Attention(name)` and `Decoder(attention=name)` make this score with its default
    arguments, and Keras saves and loads it with a model. A second class of the same name replaces
    the first.

    Args:
        name: the word by which the score is asked for.

    Returns:
        A decorator that returns the class unchanged.

    Example: The negative squared distance between query and value. The query 0 is at the squared
    distances 0 and ln 2 from the two values, so the weights are in the proportion of 1 to ½.
    >>> import numpy as np
    >>> from keras import ops
    >>> @named_score("distance")
    ... class DistanceScore(Score):
    ...     def keys(self, values):
    ...         return values
    ...     def call(self, query, keys):
    ...         difference = query[:, :, None] - keys[:, None]  # (B, T, S, U)
    ...         return -ops.sum(ops.square(difference), axis=-1)
    >>> values = np.sqrt(np.log([[[1], [2]]])).astype("float32")
    >>> encoded = Encoded(values, np.array([[True, True]]))
    >>> context, weights = Attention("distance")(np.zeros((1, 1, 1), "float32"), encoded)
    >>> weights.numpy().round(3)
    array([[[0.667, 0.333]]], dtype=float32)
    """

    def register(kind: type[Score]) -> type[Score]:
        SCORES[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


@named_score("dot")
class DotScore(Score):
    """Computes Luong's dot score, `score(q, v) = qᵀv` (Luong et al. 2015, §3.1).

    The score has no weights and needs `U == M`.

    Example: The scores are 1·3 + 2·4, 1·5 + 2·6 and 1·0 + 2·1.
    >>> import numpy as np
    >>> query, values = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0], [5.0, 6.0], [0.0, 1.0]]])
    >>> score = DotScore()
    >>> score.build(query.shape, values.shape)
    >>> score(query, score.keys(values)).numpy().tolist()
    [[[11.0, 17.0, 2.0]]]
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        if query_shape[-1] != values_shape[-1]:
            raise ValueError(
                "Dot attention needs a decoder as wide as the memory; got decoder units "
                f"{query_shape[-1]} and memory width {values_shape[-1]} (a bidirectional "
                "encoder's memory is 2 × units). Use score='general' or make the widths equal."
            )

    def keys(self, values: Any) -> Any:
        return values

    def call(self, query: Any, keys: Any) -> Any:
        return product(query, keys)


@named_score("scaled_dot")
class ScaledDotScore(DotScore):
    """Computes the scaled dot score, `score(q, v) = qᵀv / √U` (Vaswani et al. 2017, eq. 1).

    The score has no weights and needs `U == M`.

    Example: The scores are `(1·3 + 2·4 + 2·5 + 4·6) / √4`, `(1 + 2 + 2 + 4) / √4` and
    `(1·2 + 4·1) / √4`.
    >>> import numpy as np
    >>> query = np.array([[[1.0, 2.0, 2.0, 4.0]]])
    >>> values = np.array([[[3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 1.0]]])
    >>> score = ScaledDotScore()
    >>> score.build(query.shape, values.shape)
    >>> score(query, score.keys(values)).numpy().tolist()
    [[[22.5, 4.5, 3.0]]]
    """

    def keys(self, values: Any) -> Any:
        return values * (1.0 / values.shape[-1] ** 0.5)


@named_score("general")
class GeneralScore(Score):
    """Computes Luong's general score, `score(q, v) = qᵀWv` (Luong et al. 2015, §3.1).

    The learned `W` is `(U, M)`.

    Example: `W` swaps the two parts of a value, so the scores are (1, 2)·(4, 3), (1, 2)·(6, 5) and
    (1, 2)·(1, 0).
    >>> import numpy as np
    >>> query, values = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0], [5.0, 6.0], [0.0, 1.0]]])
    >>> score = GeneralScore()
    >>> score.build(query.shape, values.shape)
    >>> score.set_weights([np.array([[0.0, 1.0], [1.0, 0.0]])])
    >>> score(query, score.keys(ops.cast(values, "float32"))).numpy().tolist()
    [[[10.0, 16.0, 1.0]]]
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(values_shape[-1], query_shape[-1]),
            initializer="glorot_uniform",
        )

    def keys(self, values: Any) -> Any:
        return ops.matmul(values, ops.cast(self.kernel, values.dtype))  # (B, S, U)

    def call(self, query: Any, keys: Any) -> Any:
        return product(query, keys)


@named_score("scaled_general")
class ScaledGeneralScore(GeneralScore):
    """Computes the general score with a learned scale, `score(q, v) = g·qᵀWv`.

    The scale `g` is one number that starts at 1. The score is called `scaled_luong` in
    tensorflow/nmt.

    Example: `W` swaps the two parts of a value and `g` halves: ½·(1, 2)·(4, 3), ½·(1, 2)·(6, 5)
    and ½·(1, 2)·(1, 0).
    >>> import numpy as np
    >>> query, values = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0], [5.0, 6.0], [0.0, 1.0]]])
    >>> score = ScaledGeneralScore()
    >>> score.build(query.shape, values.shape)
    >>> score.set_weights([np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(0.5)])
    >>> score(query, score.keys(ops.cast(values, "float32"))).numpy().tolist()
    [[[5.0, 8.0, 0.5]]]
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        super().build(query_shape, values_shape)
        self.gain = self.add_weight(name="gain", shape=(), initializer="ones")

    def keys(self, values: Any) -> Any:
        return super().keys(values) * ops.cast(self.gain, values.dtype)


@named_score("concat")
class ConcatScore(Score):
    """Computes Bahdanau's score, `score(q, v) = sᵀ·tanh(Wq·q + Wv·v)`.

    The score is from Bahdanau et al. (2015, A.1.2). Luong et al. (2015, §3.1) call it concat and
    write it as one matrix over the concatenated pair, which is the same. Query and value each have
    their own projection, unlike in `keras.layers.AdditiveAttention`. The computation needs
    `B·T·S·A` numbers of memory.

    Args:
        units: width `A` of the projections; the decoder's width when omitted.

    Example: All widths are 1, `Wq = Wv = 1` and `s = 10`. Query and value add up to ln 2, 0 and
    ln 3; tanh(ln x) = (x − 1/x) / (x + 1/x), which is 0.6, 0 and 0.8.
    >>> import numpy as np
    >>> query = np.log([[[2.0]]]).astype("float32")
    >>> values = np.log([[[1.0], [0.5], [1.5]]]).astype("float32")
    >>> score = ConcatScore()
    >>> score.build(query.shape, values.shape)
    >>> score.set_weights([np.array([[weight]]) for weight in (1, 1, 10)])
    >>> score(query, score.keys(values)).numpy().round(3).tolist()
    [[[6.0, 0.0, 8.0]]]
    """

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_optional_size("units", units)
        self.units = units

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        units = self.units or query_shape[-1]
        self.query_kernel = self.add_weight(
            name="query_kernel", shape=(query_shape[-1], units), initializer="glorot_uniform"
        )
        self.values_kernel = self.add_weight(
            name="values_kernel", shape=(values_shape[-1], units), initializer="glorot_uniform"
        )
        self.vector = self.add_weight(name="vector", shape=(units, 1), initializer="glorot_uniform")

    def keys(self, values: Any) -> Any:
        return ops.matmul(values, ops.cast(self.values_kernel, values.dtype))  # (B, S, A)

    def call(self, query: Any, keys: Any, *state: Any) -> Any:
        query = ops.matmul(query, ops.cast(self.query_kernel, query.dtype))  # (B, T, A)
        # This is not keys[:, None], because TensorFlow's gradient of a slice copies the keys at
        # every step of a loop.
        return self._compare(ops.expand_dims(query, 2) + ops.expand_dims(keys, 1))

    def _compare(self, hidden: Any) -> Any:
        """Computes `sᵀ·tanh(hidden)`: `(B, T, S, A)` to `(B, T, S)`."""
        vector = ops.cast(self.vector, hidden.dtype)
        return ops.squeeze(ops.matmul(ops.tanh(hidden), vector), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@named_score("normalized_concat")
class NormalizedConcatScore(ConcatScore):
    """Scores with concat and a normalised vector `s`.

    ```
    score(q, v) = g·(s/‖s‖)ᵀ·tanh(Wq·q + Wv·v + b)
    ```

    The score is called `normed_bahdanau` in tensorflow/nmt, after Salimans & Kingma (2016). The
    gain `g` starts at `√(1/A)`, and the bias `b` starts at zero.

    Args:
        units: width `A` of the projections; the decoder's width when omitted.

    Example: Query and values have a width of 1, `Wq = Wv = (1, 1)` and `b = (ln 2, ln 2)`. The
    query is 0, so both components of the sum are ln 2, 0 and ln 3, and tanh makes them 0.6, 0 and
    0.8. `s = (3, 4)` has the norm 5; with `g = 10` both components together weigh
    10·(3 + 4)/5 = 14.
    >>> import numpy as np
    >>> query = np.zeros((1, 1, 1), "float32")
    >>> values = np.log([[[1.0], [0.5], [1.5]]]).astype("float32")
    >>> score = NormalizedConcatScore(units=2)
    >>> score.build(query.shape, values.shape)
    >>> ones = np.ones((1, 2))
    >>> score.set_weights([ones, ones, np.array([[3], [4]]), np.array(10), np.log([2, 2])])
    >>> score(query, score.keys(values)).numpy().round(3)
    array([[[ 8.4,  0. , 11.2]]], dtype=float32)
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        super().build(query_shape, values_shape)
        units = self.vector.shape[0]
        self.gain = self.add_weight(
            name="gain", shape=(), initializer=keras.initializers.Constant(units**-0.5)
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")

    def keys(self, values: Any) -> Any:
        return super().keys(values) + ops.cast(self.bias, values.dtype)

    def _compare(self, hidden: Any) -> Any:
        vector = ops.convert_to_tensor(self.vector)
        vector = self.gain * vector / ops.sqrt(ops.sum(vector * vector))
        scores = ops.matmul(ops.tanh(hidden), ops.cast(vector, hidden.dtype))
        return ops.squeeze(scores, axis=-1)


def product(query: Any, keys: Any) -> Any:
    """Multiplies every query with every key: `(B, T, A)` and `(B, S, A)` to `(B, T, S)`."""
    return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))
