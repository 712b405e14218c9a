"""An Adam optimizer that updates each weight in one operation."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_s2s")
class FusedAdam(keras.optimizers.Adam):
    """Adam that updates a weight and its two moments in one pass (Kingma & Ba 2015).

    The update of `keras.optimizers.Adam` takes twelve operations, each of which reads and writes
    whole tensors. The numbers are the same except for sparse gradients, in which a token may have
    several rows: Keras 3.15 squares each of these rows by itself, while this optimizer first adds
    them up. Arguments and state are those of `keras.optimizers.Adam`.

    The one operation is an operation of TensorFlow. On other backends, with `amsgrad` and under a
    distribution strategy, the update of Keras runs instead.

    Example:
    >>> import keras
    >>> weight = keras.Variable([1.0, -1.0])
    >>> optimizer = FusedAdam(0.1)
    >>> optimizer.apply([[3.0, 0.5]], [weight])
    >>> [round(float(w), 4) for w in weight.numpy()]  # the first step is as long as the rate
    [0.9, -1.1]
    """

    def __init__(self, learning_rate: Any = 1e-3, name: str = "fused_adam", **kwargs: Any) -> None:
        super().__init__(learning_rate, name=name, **kwargs)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            # This is the gradient of an embedding. Rows of tokens that did not occur move too,
            # because their moments decay.
            rows = variable.shape[0]
            gradient = tf.math.unsorted_segment_sum(gradient.values, gradient.indices, rows)
        if self.amsgrad or tf.distribute.has_strategy():
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # Keras passes TensorFlow's variable
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.cast(self.beta_1, dtype) ** step,
            beta2_power=tf.cast(self.beta_2, dtype) ** step,
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
