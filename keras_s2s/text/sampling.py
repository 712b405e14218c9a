"""Subword regularisation: another segmentation of the same text every time, by a seed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.tokenizer import Tokenizer, valid_text

# SentencePiece draws from a generator that is global to the process: seeding and drawing must not
# be torn apart by another thread that does the same.
_GENERATOR = threading.Lock()
# The most it takes.
_MOST_BEST = 512


@dataclass(frozen=True)
class SubwordSampling:
    """Draws segmentations from a SentencePiece model, so that a model sees many of each word.

    Of a unigram model (Kudo 2018, subword regularisation), a segmentation x has the probability

    ```
    P(x)^α / Σ_x' P(x')^α      over all segmentations, or over the `nbest` most probable ones
    ```

    Of a bpe model (Provilkov et al. 2020, BPE-dropout), every merge is left out with probability α.

    Attributes:
        alpha: α. Of unigram, the lower the more varied: 0.1 to 0.5 are in use; of bpe, the higher:
            0.1.
        nbest: how many segmentations to draw from, 2 to 512; -1 for all. bpe takes -1 only.

    Raises:
        ValueError: a number out of its range.
        TypeError: something else than a number.

    Example:
    >>> from keras_s2s.text import train_tokenizer
    >>> tokenizer = train_tokenizer("bpe", ["low lower lowest"] * 9, 16)
    >>> drawn = SubwordSampling(0.5).encode(tokenizer, ["lower lowest"] * 8, seed=1)
    >>> len({tuple(ids) for ids in drawn}) > 1, set(tokenizer.decode(drawn))
    (True, {'lower lowest'})
    """

    alpha: float
    nbest: int = -1

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float):
            raise TypeError(f"`alpha` must be a number; got {self.alpha!r}.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` must be at least 0 and at most 1; got {self.alpha!r}.")
        if isinstance(self.nbest, bool) or not isinstance(self.nbest, int):
            raise TypeError(f"`nbest` must be a whole number; got {self.nbest!r}.")
        if self.nbest != -1 and not 2 <= self.nbest <= _MOST_BEST:
            raise ValueError(f"`nbest` must be -1, or from 2 to {_MOST_BEST}; got {self.nbest}.")

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], *, seed: int) -> list[list[int]]:
        """Drawn ids of each text, without start and end; the same for the same arguments.

        Args:
            tokenizer: a SentencePiece model.
            texts: strings.
            seed: whole number from 0, below 2³² − 1. SentencePiece's generator, which is global to
                the process, is set to it.

        Returns:
            One list of ids per text.

        Raises:
            TypeError: another kind of tokenizer.
            ValueError: an `nbest` for a bpe model, or a seed out of range.
        """
        if not isinstance(tokenizer, SentencePieceTokenizer):
            raise TypeError(
                "Only SentencePiece models, unigram and bpe, have other segmentations to draw; got "
                f"{type(tokenizer).__name__}."
            )
        if not 0 <= seed < 2**32 - 1:
            raise ValueError(f"`seed` must be at least 0 and below 2³² − 1; got {seed}.")
        import sentencepiece

        processor = tokenizer.processor
        valid = [valid_text(text) for text in texts]
        if self.nbest != -1:
            try:
                # A bpe model would draw as with -1, without a word.
                processor.nbest_encode_as_ids("", 2)
            except RuntimeError as error:
                raise ValueError(
                    "`nbest` must be -1 for a bpe model, which has no best segmentations; got "
                    f"{self.nbest}."
                ) from error
        with _GENERATOR:
            sentencepiece.set_random_generator_seed(seed)
            # One by one: given a list, SentencePiece draws in threads of its own.
            return [
                processor.encode(
                    text,
                    out_type=int,
                    enable_sampling=True,
                    alpha=self.alpha,
                    nbest_size=self.nbest,
                )
                for text in valid
            ]
