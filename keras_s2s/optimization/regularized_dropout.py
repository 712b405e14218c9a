"""R-Drop: a loss that makes the model say the same whatever its dropout leaves out."""

from __future__ import annotations

from typing import Any

import keras

from keras_s2s.optimization.losses import TokenCrossEntropy
from keras_s2s.system.checks import check_positive


@keras.saving.register_keras_serializable(package="keras_s2s")
class RegularizedDropout(TokenCrossEntropy):
    """Cross-entropy of two passes with dropout that are to agree: R-Drop (Liang et al. 2021).

    In training, `Seq2Seq` runs each batch twice, each time with dropout of its own, which gives
    every token two distributions `p` and `q`:

    ```
    loss = mean over real tokens of  ½·(CE(p) + CE(q)) + α/4·(KL(p ‖ q) + KL(q ‖ p))
    KL(p ‖ q) = Σ_v p[v]·(log p[v] − log q[v])
    ```

    This is half of the paper's loss, so that it compares with that of one pass; α is the paper's,
    where translation takes 5. Cross-entropy may be smoothed, the divergence is of the distributions
    as they are. A step costs twice as much, in time and memory, and more epochs are needed than
    without it. Where there is no dropout the divergence is zero.

    Accuracy and perplexity of the training logs are means over both passes. Validation, `evaluate`
    and a call of this object take one, without dropout, as `TokenCrossEntropy` does: `val_loss` has
    no divergence, and `loss` does not compare with it.

    Only `Seq2Seq.fit` and `train_on_batch` make two passes, on the TensorFlow backend, without
    `jit_compile`, a distribution strategy or metrics that need all logits. Where one of these
    forbids it, training is an error.

    Args:
        weight: α, above 0.
        pad_id: the label that is not a token.
        label_smoothing: ε, at least 0 and below 1.

    Raises:
        ValueError: one of the arguments is none of these.

    Example:
    >>> import numpy as np
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=8, units=8, dropout=0.3),
    ...     Decoder(vocabulary_size=9, embedding_size=8, units=16, dropout=0.3),
    ... )
    >>> model.compile(loss=RegularizedDropout(5.0))
    >>> x = {"source_ids": np.array([[5, 6, 3]]), "target_ids": np.array([[2, 4]])}
    >>> y = np.array([[4, 3]])
    >>> list(model.train_on_batch(x, y, return_dict=True))
    ['accuracy', 'loss', 'perplexity']
    """

    def __init__(
        self,
        weight: float = 5.0,
        pad_id: int = 0,
        name: str = "regularized_dropout",
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(pad_id, name, label_smoothing=label_smoothing)
        check_positive("weight", weight)
        self.weight = weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
