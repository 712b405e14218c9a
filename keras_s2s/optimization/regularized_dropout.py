"""R-Drop, the loss that makes two passes of a model with different dropout agree."""

from __future__ import annotations

from typing import Any

import keras

from keras_s2s.optimization.losses import TokenCrossEntropy
from keras_s2s.system.checks import check_positive


@keras.saving.register_keras_serializable(package="keras_s2s")
class RegularizedDropout(TokenCrossEntropy):
    """The loss R-Drop: cross-entropy of two passes with dropout, and their divergence.

    In training, `Seq2Seq` runs each batch twice with different dropout, which gives every token two
    distributions `p` and `q` (Liang et al. 2021):

    ```
    loss = mean over real tokens of  ½·(CE(p) + CE(q)) + α/4·(KL(p ‖ q) + KL(q ‖ p))
    KL(p ‖ q) = Σ_v p[v]·(log p[v] − log q[v])
    ```

    This is half of the paper's loss, so that it is comparable with the cross-entropy of one pass.
    The meaning of α is that of the paper, which uses 5 for translation. Label smoothing changes
    only the cross-entropy, not the divergence. A step takes twice the time and memory, and training
    needs more epochs than without R-Drop. Without dropout the divergence is zero.

    Accuracy and perplexity in the training logs are means over both passes. Validation, `evaluate`
    and a call of this object run one pass without dropout, as `TokenCrossEntropy` does. So
    `val_loss` contains no divergence, and `loss` is not comparable with `val_loss`.

    Only `Seq2Seq.fit` and `train_on_batch` make two passes. They need the TensorFlow backend.
    Training raises an error with `jit_compile`, with a distribution strategy and with metrics that
    need all logits.

    Args:
        weight: weight α of the divergence, above 0.
        pad_id: the label that marks padding.
        label_smoothing: the smoothed mass ε, at least 0 and below 1.

    Raises:
        ValueError: If one of the arguments is out of its range.

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
