"""Training and test steps in which the output layer sees only real tokens.

These steps run on the TensorFlow backend without XLA, because the shapes that they need depend on
the data. Otherwise, and if anything asks for the logits of all positions, Keras' own steps run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_s2s.models.inference import Decodable
from keras_s2s.optimization.losses import SampledTokenCrossEntropy, TokenCrossEntropy, token_weights
from keras_s2s.optimization.projection import TokenSums, projected_sums, sampled_sums
from keras_s2s.optimization.regularized_dropout import RegularizedDropout
from keras_s2s.optimization.token_metrics import Perplexity, TokenAccuracy

# Losses that only these steps can train on. Keras' steps would compute another loss.
_TOKEN_LOSSES = (SampledTokenCrossEntropy, RegularizedDropout)


@dataclass(frozen=True)
class TokenPlan:
    """The loss and the metrics that are computed from real tokens.

    This record holds them, because Keras would track them twice in a list of the model.
    """

    loss: TokenCrossEntropy
    metrics: Sequence[TokenAccuracy | Perplexity]


class StepTraces:
    """Counts how often a training step was traced, and records the shape of its last batch.

    Python runs a step only when it is traced, so a trace counts itself. XLA on TensorFlow compiles
    a trace again for each shape without running Python. In this case, the step itself records the
    shapes.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last: Any = None

    def add(self, data: Any, jit_compile: bool) -> None:
        """Counts a trace of a step on these data."""
        self.count += 1
        if keras.backend.backend() != "tensorflow":
            return
        import tensorflow as tf

        if not jit_compile or tf.distribute.has_strategy():
            self._last = None
            return
        tensors = [tensor for tensor in keras.tree.flatten(data) if tensor is not None]
        shapes = tf.concat([tf.shape(tensor) for tensor in tensors], axis=0)
        if self._last is None or self._last.shape != shapes.shape:
            with tf.init_scope():
                self._last = tf.Variable(tf.zeros(shapes.shape, tf.int32))
        self._last.assign(shapes)

    def shape(self) -> tuple[int, ...] | None:
        """Returns the sizes of all axes of the last batch, or None without XLA on TensorFlow."""
        return None if self._last is None else tuple(self._last.numpy().tolist())


class TokenSteps(Decodable):
    """A model whose `call` can stop before the output layer, and whose steps make use of this.

    Loss, metrics and gradients are equal to those of Keras' steps. A subclass calls `choose_steps`
    when it is compiled.
    """

    _plan: TokenPlan | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.traces = StepTraces()

    def output_weights(self) -> tuple[Any, Any]:
        """Returns kernel `(W, V)` and bias `(V,)`, or None, of the logits, in the compute dtype."""
        raise NotImplementedError

    def output_columns(self, ids: Any) -> tuple[Any, Any]:
        """Returns kernel columns `(W, N)` and biases `(N,)`, or None, of some ids `(N,)`."""
        raise NotImplementedError

    def choose_steps(
        self, loss: Any, weighted_metrics: Sequence[Any] | None, others: dict[str, Any]
    ) -> None:
        """Chooses these steps if loss and metrics need only the logits of real tokens.

        Args:
            loss: the loss that was given to `compile`.
            weighted_metrics: the weighted metrics that were given to `compile`.
            others: the other arguments of `compile`. With `metrics` or `loss_weights`, Keras' steps
                run.

        Raises:
            ValueError: If the loss draws more ids than the vocabulary has.
        """
        if isinstance(loss, SampledTokenCrossEntropy):
            loss.check_vocabulary(self.target_vocabulary_size)
        metrics = keras.tree.flatten(weighted_metrics)
        supported = type(loss) in (TokenCrossEntropy, *_TOKEN_LOSSES) and all(
            type(metric) in (TokenAccuracy, Perplexity) and metric.pad_id == loss.pad_id
            for metric in metrics
        )
        overridden = any(
            getattr(type(self), name) is not getattr(keras.Model, name)
            for name in ("compute_loss", "compute_metrics")
        )
        needs_logits = any(others.get(name) is not None for name in ("metrics", "loss_weights"))
        possible = supported and keras.backend.backend() == "tensorflow"
        chosen = possible and not overridden and not needs_logits
        self._plan = TokenPlan(loss, metrics) if chosen else None

    # Keras on TensorFlow would make the weights in the first trace of a step. That is too late to
    # choose a step by the weights, and TensorFlow traces a step that makes weights twice.
    def make_train_function(self, force: bool = False) -> Any:
        if self._plan is None or self.jit_compile:
            self._check_losses()  # before Keras on JAX takes the weights away
        if keras.backend.backend() == "tensorflow":
            with self.distribute_strategy.scope():
                if not self.built:
                    self.build()
                if not self.optimizer.built:
                    self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        if keras.backend.backend() == "tensorflow" and not self.built:
            with self.distribute_strategy.scope():
                self.build()
        return super().make_test_function(force)

    def train_step(self, *arguments: Any) -> Any:
        self.traces.add(arguments[-1], self.jit_compile)
        plan = self._active_plan()
        if plan is None:
            self._check_losses()
            return super().train_step(*arguments)
        import tensorflow as tf

        (data,) = arguments
        with tf.GradientTape() as tape:
            sums, loss = self._token_sums_and_loss(plan, data, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = [_merged_rows(gradient) for gradient in tape.gradient(scaled, variables)]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._logs(plan, data, sums, loss)

    def test_step(self, *arguments: Any) -> Any:
        plan = self._active_plan()
        if plan is None:
            return super().test_step(*arguments)
        (data,) = arguments
        return self._logs(plan, data, *self._token_sums_and_loss(plan, data, training=False))

    def _active_plan(self) -> TokenPlan | None:
        """Returns the plan for this step, or None if Keras' own step must run."""
        if self._plan is None or self.jit_compile:
            return None
        import tensorflow as tf

        # Only Keras' own steps scale losses by the number of replicas.
        return None if tf.distribute.has_strategy() or not self.trainable_variables else self._plan

    def _check_losses(self) -> None:
        """Raises ValueError if Keras' step would train on another loss than the one given."""
        for loss in keras.tree.flatten(self.loss):
            if not isinstance(loss, _TOKEN_LOSSES):
                continue
            raise ValueError(
                f"{type(loss).__name__} trains alone, on the TensorFlow backend, without "
                "`jit_compile`, a distribution strategy, `loss_weights` and metrics other than "
                "TokenAccuracy and Perplexity of its pad_id; got "
                f"backend={keras.backend.backend()!r}, jit_compile={self.jit_compile!r}. Compile "
                "without these options, or with the loss TokenCrossEntropy."
            )

    def _token_sums_and_loss(
        self, plan: TokenPlan, data: Any, training: bool
    ) -> tuple[TokenSums, Any]:
        """Computes the sums over the real tokens of a batch, and the loss of the batch."""
        agreement = 0.0
        if training and isinstance(plan.loss, RegularizedDropout):
            agreement = plan.loss.weight
            data = _repeated(data)
        x, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        hidden = self(x, training=training, logits=False)
        labels = ops.cast(labels, "int32")
        weights = token_weights(labels, sample_weight, plan.loss.pad_id)
        weights = ops.broadcast_to(weights, ops.shape(labels))
        if training and isinstance(plan.loss, SampledTokenCrossEntropy):
            step = self.optimizer.iterations
            candidates = plan.loss.candidates(self.target_vocabulary_size, step)
            sums = sampled_sums(hidden, self.output_columns, labels, weights, candidates)
        else:
            kernel, bias = self.output_weights()
            smoothing = plan.loss.label_smoothing
            sums = projected_sums(hidden, kernel, bias, labels, weights, smoothing, agreement)
        loss = sums.objective / ops.where(ops.equal(sums.count, 0.0), 1.0, sums.count)
        for added in self.losses:
            loss += ops.sum(ops.cast(added, loss.dtype))
        return sums, loss

    def _logs(self, plan: TokenPlan, data: Any, sums: TokenSums, loss: Any) -> dict[str, Any]:
        """Updates the mean loss and the metrics, and returns the logs of the step."""
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        # Keras 3.15 has no public name for its mean of the losses, and none for the metrics of
        # `compile`, which it builds from the first outputs that it sees.
        rows = ops.shape(keras.tree.flatten(x)[0])[0]
        self._loss_tracker.update_state(loss, sample_weight=rows)
        compiled = self._compile_metrics
        if compiled is not None and not compiled.built:
            compiled.build(labels, keras.KerasTensor((None, None, self.target_vocabulary_size)))
        if sums.entropy is None:
            # A sampled loss has no entropy over the whole vocabulary, so it has no such metrics.
            missing = {metric.name for metric in plan.metrics}
            logs = self.get_metrics_result()
            return {name: value for name, value in logs.items() if name not in missing}
        for metric in plan.metrics:
            total = sums.hits if isinstance(metric, TokenAccuracy) else sums.entropy
            metric.add(total, sums.count)
        return self.get_metrics_result()


def _repeated(data: Any) -> Any:
    """Repeats all rows of a batch after the last one."""
    return keras.tree.map_structure(lambda x: None if x is None else ops.concatenate([x, x]), data)


def _merged_rows(gradient: Any) -> Any:
    """Adds up the rows that belong to one token in an embedding's sparse gradient.

    A token that occurs twice has two rows. When Keras 3.15 clips gradients, it takes the norm of
    these rows, not of their sum. Any other gradient is returned unchanged.
    """
    import tensorflow as tf

    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
