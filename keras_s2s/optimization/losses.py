"""Training losses: cross-entropy over real tokens only, and attention led by given alignments."""

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
    """Mean cross-entropy, in nats, over the real tokens of a batch.

    ```
    loss = Σ w·(−log softmax(logits)[label]) / Σ w,   w = sample weight, and 0 where label = pad_id
    ```

    The divisor is the number of real tokens, so padding dilutes nothing. Under a strategy of
    `tf.distribute` it is that of all replicas together, so that their losses add up to this mean. A
    batch without any real token has a loss of zero.

    Label smoothing (Szegedy et al. 2016, §7) takes the mass ε from the label and spreads it evenly
    over all V entries of the vocabulary, the label and padding among them, ε/V each:

    ```
    −(1 − ε)·log p[label] − ε/V·Σ_v log p[v]
    ```

    So the label's own target is 1 − ε + ε/V, as in Keras' `CategoricalCrossentropy`, PyTorch and
    fairseq. The other form in use gives ε/(V − 1) to every entry but the label (OpenNMT-py,
    JoeyNMT, which leaves padding out too): it is this one with ε·(V − 1)/V in place of ε. Smoothing
    gives mass to every entry, so a logit of −∞ makes the loss infinite. The metrics of a training
    are not smoothed: perplexities of different ε compare.

    Args:
        pad_id: the label that is not a token.
        label_smoothing: ε, at least 0 and below 1.

    Raises:
        ValueError: a `label_smoothing` that is no such number.

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
        # Not the base's `reduction`: it is what this loss is, so it is no option.
        return {
            "name": self.name,
            "pad_id": self.pad_id,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="keras_s2s")
class SampledTokenCrossEntropy(TokenCrossEntropy):
    """Cross-entropy that trains on a sample of a large vocabulary (Jean et al. 2015).

    In training, `Seq2Seq` makes logits of the label and of ids drawn anew for each batch alone:

    ```
    loss = mean over real tokens of −log( e^u[label] / (e^u[label] + Σ e^u[c]) )
    u[v] = logit[v] − log expected[v],   c over the candidates other than the label
    ```

    `expected[v]` is how often id v is expected among the candidates, so that what is likely to be
    drawn does not count for more: where all ids are drawn, loss and gradients are those of the
    whole vocabulary, and with fewer the true probabilities still have no gradient. Of the output
    layer, the columns of candidates and labels are all that is read; what is read of a tied
    embedding are their rows.

    This loss is no estimate of the cross-entropy, and falls with the number of samples. So the
    training logs have it, as `loss`, and neither accuracy nor perplexity. Validation, `evaluate`
    and a call of this object take all logits, as `TokenCrossEntropy` does: `val_loss` and
    `val_perplexity` are exact, and `loss` does not compare with `val_loss`.

    Only `Seq2Seq.fit` and `train_on_batch` sample, on the TensorFlow backend, without
    `jit_compile`, a distribution strategy or metrics that need all logits. Where one of these
    forbids it, training is an error.

    Args:
        samples: ids drawn for a batch, all different; from 1 to the size of the vocabulary.
        distribution: 'log_uniform' draws small ids more often, as fits a vocabulary that is sorted
            by frequency: those of words and characters are, a unigram one nearly. (A BPE vocabulary
            has its single characters last.) 'uniform' draws all ids alike.
        pad_id: the label that is not a token.
        seed: whole number from 0; with the optimizer's step it decides which ids are drawn. Where
            omitted, one is drawn from Python's generator, which `keras.utils.set_random_seed` sets.

    Raises:
        ValueError: one of the arguments is none of these.

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
        """Raises ValueError for a vocabulary with fewer ids than are to be drawn."""
        if self.samples > size:
            raise ValueError(
                f"`samples` must be at most the size of the target vocabulary, {size}; got "
                f"samples={self.samples}. Draw fewer, or train with TokenCrossEntropy."
            )

    def candidates(self, vocabulary_size: int, step: Any) -> Candidates:
        """What is drawn for a step, from a vocabulary of V ids. The same step draws the same."""
        probabilities = proposal(self.distribution, vocabulary_size)
        # From 2³¹ on a seed is a negative int32.
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
    """The sum over the replicas of a distribution strategy."""
    if keras.backend.backend() != "tensorflow":
        return count
    import tensorflow as tf

    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        return count
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)


def token_cross_entropy(
    labels: Any, logits: Any, sample_weight: Any, pad_id: int, label_smoothing: float = 0.0
) -> tuple[Any, Any]:
    """Cross-entropy and weight per token: labels `(B, T)`, logits `(B, T, V)` to two `(B, T)`."""
    labels, logits = ops.cast(labels, "int32"), ops.cast(logits, "float32")
    if keras.backend.backend() == "jax":
        # Keras 3.15 multiplies by a one-hot label there: 0 · −∞ at a forbidden token is not zero.
        entropy = ops.logsumexp(logits, axis=-1) - _chosen(logits, labels)  # (B, T)
    else:
        entropy = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    if label_smoothing:
        # −log p[v] = logsumexp(z) − z[v], and targets sum to one: the logsumexp is there already.
        entropy += label_smoothing * (_chosen(logits, labels) - ops.mean(logits, axis=-1))
    weights = token_weights(labels, sample_weight, pad_id)
    # What does not count may be infinite (a model may forbid padding), and 0 · ∞ is no zero.
    return ops.where(ops.equal(weights, 0.0), 0.0, entropy), weights


def _chosen(logits: Any, labels: Any) -> Any:
    """The logits of the labels: `(B, T)`."""
    return ops.take_along_axis(logits, labels[:, :, None], axis=-1)[:, :, 0]


def token_weights(labels: Any, sample_weight: Any, pad_id: int) -> Any:
    """One per real token, zero for padding, times the sample weight: `(B, T)`, `(B, 1)`, `(B,)`."""
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
    """How far attention is from given alignments, in training (Chen et al. 2016).

    ```
    cross_entropy   weight · mean over aligned targets of −Σ_s gold[s]·log weights[s]
    mse             weight · mean over aligned targets of  Σ_s (gold[s] − weights[s])²
    ```

    Each row of the alignments is scaled to sum to one. A target token aligned to nothing, its row
    all zeros, does not count.

    Args:
        kind: 'cross_entropy' or 'mse'.
        weight: what the loss is multiplied by before it is added to the model's.

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
        """Alignments and attention weights, both `(B, T, S)`, to a scalar."""
        weights = ops.cast(weights, "float32")
        alignments = ops.cast(alignments, "float32")
        given, expected = tuple(alignments.shape), tuple(weights.shape)
        sizes = zip(given, expected, strict=False)
        if len(given) != 3 or any(a != b and None not in (a, b) for a, b in sizes):
            raise ValueError(
                "`alignments` must have the shape of the attention weights, (batch, target length, "
                f"source length) = {expected}; got {given}."
            )
        total = ops.sum(alignments, axis=-1, keepdims=True)
        aligned = total > 0
        gold = alignments / ops.where(aligned, total, 1.0)
        if self.kind == "mse":
            costs = ops.sum(ops.square(gold - weights), axis=-1)
        else:
            # Far below any weight that matters; attention that is exactly zero there costs 23.
            costs = -ops.sum(gold * ops.log(ops.maximum(weights, 1e-10)), axis=-1)
        counted = ops.cast(aligned[..., 0], "float32")  # (B, T)
        return self.weight * ops.sum(costs * counted) / ops.maximum(ops.sum(counted), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GuidedAlignment:
        return cls(**config)
