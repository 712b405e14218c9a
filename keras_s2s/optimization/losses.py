"""The losses of a training: cross-entropy over real tokens, and attention guided by alignments."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import ops

from keras_s2s.optimization.candidate_sampling import (
    DISTRIBUTIONS,
    Candidates,
    draw_candidates,
    proposal,
)
from keras_s2s.system.checks import (
    check_choice,
    check_positive,
    check_shares,
    check_size,
    check_whole,
)


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenCrossEntropy(keras.losses.Loss):
    """The mean cross-entropy, in nats, over the real tokens of a batch.

    ```
    loss = Σ w·(−log softmax(logits)[label]) / Σ w,   w = sample weight, and 0 where label = pad_id
    ```

    Labels have the shape `(B, T)`, logits `(B, T, V)`. The divisor counts real tokens only, so the
    amount of padding does not change the loss. Under a strategy of `tf.distribute` it counts the
    tokens of all replicas together, so that the losses of the replicas add up to this mean. A batch
    without any real token has a loss of zero.

    Label smoothing (Szegedy et al. 2016, §7) takes the mass ε from the label and spreads it evenly
    over all V entries of the vocabulary, ε/V each. The label and padding are among these entries:

    ```
    −(1 − ε)·log p[label] − ε/V·Σ_v log p[v]
    ```

    So the target of the label is 1 − ε + ε/V, as in Keras' `CategoricalCrossentropy`, PyTorch and
    fairseq. OpenNMT-tf gives ε/(V − 1) to every entry but the label, so its ε corresponds to ε·V/(V
    − 1) here. JoeyNMT and OpenNMT-py's `LabelSmoothingLoss` leave out padding as well. Smoothing
    gives mass to every entry, so a logit of −∞ makes the loss infinite. The metrics of a training
    are not smoothed, so perplexities of trainings with different ε are comparable.

    Args:
        pad_id: the label that marks padding.
        label_smoothing: the smoothed mass ε, at least 0 and below 1.

    Raises:
        ValueError: If `label_smoothing` is out of its range.

    Example:
    >>> import numpy as np
    >>> labels = np.array([[1, 0]])
    >>> round(float(TokenCrossEntropy()(labels, np.zeros((1, 2, 4), "float32"))), 4)  # log 4
    1.3863
    """

    def __init__(
        self,
        pad_id: int = 0,
        name: str = "token_cross_entropy",
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name=name)
        check_shares(label_smoothing=label_smoothing)
        self.pad_id = pad_id
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        entropy, weights = token_cross_entropy(
            y_true, y_pred, sample_weight, self.pad_id, self.label_smoothing
        )
        count = _over_replicas(ops.sum(weights))
        return ops.sum(entropy * weights) / ops.where(ops.equal(count, 0.0), 1.0, count)

    def get_config(self) -> dict[str, Any]:
        # The base class also saves its `reduction`, which is fixed here: this loss is a mean.
        return {
            "name": self.name,
            "pad_id": self.pad_id,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="keras_s2s")
class SampledTokenCrossEntropy(TokenCrossEntropy):
    """A cross-entropy that trains on a sample of a large vocabulary (Jean et al. 2015).

    In training, `Seq2Seq` computes logits only for the labels and for candidates, ids that are
    drawn anew for each batch:

    ```
    loss = mean over real tokens of −log( e^u[label] / (e^u[label] + Σ e^u[c]) )
    u[v] = logit[v] − log expected[v],   c over the candidates other than the label
    ```

    `expected[v]` is the expected count of id v among the candidates. Dividing by it keeps ids that
    are likely to be drawn from counting for more. If all ids are drawn, loss and gradients are
    those of the whole vocabulary. If fewer are drawn, the true probabilities still have no
    gradient. A step reads only the columns of the output layer that belong to candidates and
    labels, or their rows of a tied embedding.

    This loss is not an estimate of the cross-entropy: the fewer samples, the smaller it is. So the
    training logs show this value as `loss`, and show neither accuracy nor perplexity. Validation,
    `evaluate` and a call of this object use all logits, as `TokenCrossEntropy` does. So `val_loss`
    and `val_perplexity` are exact, and `loss` is not comparable with `val_loss`.

    Only `Seq2Seq.fit` and `train_on_batch` sample. They need the TensorFlow backend. Training
    raises an error with `jit_compile`, with a distribution strategy and with metrics that need all
    logits.

    Args:
        samples: number of different ids drawn for a batch, from 1 to the size of the vocabulary.
        distribution: 'log_uniform' or 'uniform'. 'log_uniform' draws small ids more often, which
            fits a vocabulary sorted by frequency. Vocabularies of words and characters are sorted
            in this way, and vocabularies of unigram subwords nearly so. A BPE vocabulary has its
            single characters last. 'uniform' draws all ids equally often.
        pad_id: the label that marks padding.
        seed: whole number from 0 which, with the optimizer's step, decides the ids that are drawn.
            If omitted, it comes from Python's random generator, which
            `keras.utils.set_random_seed` sets.

    Raises:
        ValueError: If one of the arguments is out of its range.

    Example:
    >>> import numpy as np
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=8, units=8),
    ...     Decoder(vocabulary_size=5000, embedding_size=8, units=16),
    ... )
    >>> model.compile(loss=SampledTokenCrossEntropy(samples=50))
    >>> x = {"source_ids": np.array([[5, 6, 3]]), "target_ids": np.array([[2, 4321]])}
    >>> y = np.array([[4321, 3]])
    >>> list(model.train_on_batch(x, y, return_dict=True))
    ['loss']
    >>> list(model.test_on_batch(x, y, return_dict=True))
    ['accuracy', 'loss', 'perplexity']
    """

    def __init__(
        self,
        samples: int = 8192,
        distribution: str = "log_uniform",
        pad_id: int = 0,
        name: str = "sampled_token_cross_entropy",
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(pad_id, name)
        check_choice("distribution", distribution, DISTRIBUTIONS)
        seed = random.randrange(2**31) if seed is None else seed
        check_size("samples", samples)
        self.samples = samples
        self.distribution = distribution
        self.seed = check_whole("seed", seed, 0, below=2**32)

    def check_vocabulary(self, size: int) -> None:
        """Raises ValueError if the vocabulary has fewer ids than are to be drawn."""
        if self.samples > size:
            raise ValueError(
                f"`samples` must be at most the size of the target vocabulary, {size}; got "
                f"samples={self.samples}. Draw fewer, or train with TokenCrossEntropy."
            )

    def candidates(self, vocabulary_size: int, step: Any) -> Candidates:
        """Draws the candidates of a training step. The same step always has the same candidates."""
        probabilities = proposal(self.distribution, vocabulary_size)
        # A seed of 2³¹ or more wraps around to a negative int32.
        seed = (self.seed + 2**31) % 2**32 - 2**31
        seeds = ops.stack([ops.convert_to_tensor(seed, "int32"), ops.cast(step, "int32")])
        return draw_candidates(probabilities, self.samples, seeds)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "pad_id": self.pad_id,
            "samples": self.samples,
            "distribution": self.distribution,
            "seed": self.seed,
        }


def _over_replicas(count: Any) -> Any:
    """Sums a count over the replicas of a distribution strategy, if there is one."""
    if keras.backend.backend() != "tensorflow":
        return count
    import tensorflow as tf

    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        return count
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)


def token_cross_entropy(
    labels: Any, logits: Any, sample_weight: Any, pad_id: int, label_smoothing: float = 0.0
) -> tuple[Any, Any]:
    """Returns the cross-entropy and the weight of each token, both `(B, T)` float32.

    Args:
        labels: `(B, T)` whole numbers.
        logits: `(B, T, V)`.
        sample_weight: `(B, T)`, `(B, 1)`, `(B,)` or None.
        pad_id: the label that marks padding. Padding has a weight and a cross-entropy of zero.
        label_smoothing: ε, as for `TokenCrossEntropy`.
    """
    labels, logits = ops.cast(labels, "int32"), ops.cast(logits, "float32")
    if keras.backend.backend() == "jax":
        # On JAX, Keras 3.15 multiplies by one-hot labels. At a forbidden token, 0 · −∞ is NaN.
        entropy = ops.logsumexp(logits, axis=-1) - _chosen(logits, labels)  # (B, T)
    else:
        entropy = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    if label_smoothing:
        # −log p[v] = logsumexp(z) − z[v], and the targets sum to one, so `entropy` already has the
        # whole logsumexp.
        entropy += label_smoothing * (_chosen(logits, labels) - ops.mean(logits, axis=-1))
    weights = token_weights(labels, sample_weight, pad_id)
    # Padding may have an infinite entropy, if a model forbids it, and 0 · ∞ is NaN.
    return ops.where(ops.equal(weights, 0.0), 0.0, entropy), weights


def _chosen(logits: Any, labels: Any) -> Any:
    """Returns the logits of the labels, `(B, T)`."""
    return ops.take_along_axis(logits, labels[:, :, None], axis=-1)[:, :, 0]


def token_weights(labels: Any, sample_weight: Any, pad_id: int) -> Any:
    """Returns the weight of each token, `(B, T)` float32: its sample weight, or 0 for padding.

    The sample weight may have the shape `(B, T)`, `(B, 1)` or `(B,)`; None stands for 1.
    """
    weights = ops.cast(ops.not_equal(labels, pad_id), "float32")
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(sample_weight, "float32")
    if len(sample_weight.shape) == 1:
        sample_weight = ops.expand_dims(sample_weight, -1)
    return weights * sample_weight


KINDS = ("cross_entropy", "mse")


@keras.saving.register_keras_serializable(package="keras_s2s")
class GuidedAlignment:
    """A training loss that draws attention towards given alignments (Chen et al. 2016).

    ```
    cross_entropy   weight · mean over aligned targets of −Σ_s gold[s]·log weights[s]
    mse             weight · mean over aligned targets of  Σ_s (gold[s] − weights[s])²
    ```

    `gold` are the alignments, in which the row of each target token is scaled to sum to one. A
    target token that is aligned to nothing has a row of zeros and does not count.

    Args:
        kind: 'cross_entropy' or 'mse'.
        weight: factor of this loss when it is added to the loss of the model.

    Raises:
        ValueError: If `kind` is neither of the two, or `weight` is not a finite number above 0.

    Example: half the attention lies on the right word, so the loss is ln 2.
    >>> import numpy as np
    >>> weights = np.array([[[0.5, 0.5]]], "float32")
    >>> round(float(GuidedAlignment()(np.array([[[1, 0]]]), weights)), 4)
    0.6931
    """

    def __init__(self, kind: str = "cross_entropy", weight: float = 1.0) -> None:
        check_choice("kind", kind, KINDS)
        check_positive("weight", weight)
        self.kind = kind
        self.weight = weight

    def __call__(self, alignments: Any, weights: Any) -> Any:
        """Computes the loss, a float32 scalar, of alignments and attention weights `(B, T, S)`."""
        weights = ops.cast(weights, "float32")
        alignments = ops.cast(alignments, "float32")
        received, expected = tuple(alignments.shape), tuple(weights.shape)
        sizes = zip(received, expected, strict=False)
        if len(received) != 3 or any(a != b and None not in (a, b) for a, b in sizes):
            raise ValueError(
                "`alignments` must have the shape of the attention weights, (batch, target length, "
                f"source length) = {expected}; got {received}."
            )
        total = ops.sum(alignments, axis=-1, keepdims=True)
        aligned = total > 0
        gold = alignments / ops.where(aligned, total, 1.0)
        if self.kind == "mse":
            costs = ops.sum(ops.square(gold - weights), axis=-1)
        else:
            # 1e-10 is far below any weight that matters. Attention of exactly zero costs 23 there.
            costs = -ops.sum(gold * ops.log(ops.maximum(weights, 1e-10)), axis=-1)
        counted = ops.cast(aligned[..., 0], "float32")  # (B, T)
        return self.weight * ops.sum(costs * counted) / ops.maximum(ops.sum(counted), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GuidedAlignment:
        return cls(**config)
