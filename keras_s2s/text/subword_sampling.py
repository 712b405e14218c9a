"""Subword regularisation: segmentations of the same text that differ by a seed.

SentencePiece (0.2.3) can draw segmentations too, but it mixes its seed with a number of the
process, so that no training could be repeated or resumed. The segmentations drawn here are the
same in every process.
"""

from __future__ import annotations

import heapq
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.tokenizer import Tokenizer, valid_text

SPACE = "▁"
_WORD = re.compile(f"{SPACE}?[^{SPACE}]+|{SPACE}")


@dataclass(frozen=True)
class SubwordSampling:
    """Settings of subword regularisation, by which training sees many segmentations of each word.

    With a unigram model (Kudo 2018, subword regularisation), a segmentation x of a text has the
    probability

    ```
    P(x)^α / Σ_x' P(x')^α      over all segmentations
    ```

    and is drawn exactly, by forward filtering and backward sampling. With a bpe model (Provilkov
    et al. 2020, BPE-dropout), every merge is left out with probability α when its turn comes.

    Attributes:
        alpha: α, from 0 to 1. With a unigram model a lower α gives more varied and longer
            segmentations, and 0.2 to 0.5 are usual. With a bpe model a higher α does, and 0.1 is
            usual.

    Raises:
        ValueError: If `alpha` is out of its range.
        TypeError: If `alpha` is not a number.

    Example:
    >>> from keras_s2s.text import train_tokenizer
    >>> tokenizer = train_tokenizer("bpe", ["low lower lowest"] * 9, 16)
    >>> drawn = SubwordSampling(0.5).sampler(tokenizer).encode(["lower lowest"] * 8, seed=1)
    >>> len({tuple(ids) for ids in drawn}) > 1, set(tokenizer.decode(drawn))
    (True, {'lower lowest'})
    """

    alpha: float

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float):
            raise TypeError(f"`alpha` must be a number; got {self.alpha!r}.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` must be at least 0 and at most 1; got {self.alpha!r}.")

    def sampler(self, tokenizer: Tokenizer) -> SubwordSampler:
        """Makes the sampler that draws segmentations of a tokenizer.

        Args:
            tokenizer: a SentencePiece model, unigram or bpe.

        Raises:
            TypeError: If the tokenizer is not a SentencePiece model.
        """
        if not isinstance(tokenizer, SentencePieceTokenizer):
            raise TypeError(
                "Only SentencePiece models, unigram and bpe, have other segmentations to draw; got "
                f"{type(tokenizer).__name__}."
            )
        kinds = {"bpe": BPESampler, "unigram": UnigramSampler}
        return kinds[tokenizer.kind](tokenizer, self.alpha)


class SubwordSampler:
    """The base of samplers, which draw segmentations word by word and cache results for each word.

    White space separates words. A model with pieces that hold white space inside takes each text
    as one word. A word for which the model gives unknown or special ids always has its usual
    segmentation.

    Args:
        tokenizer: a SentencePiece model.
        alpha: as for `SubwordSampling`.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        processor = tokenizer.processor
        self.processor = processor
        self.alpha = alpha
        self.ids = {
            processor.id_to_piece(i): i
            for i in range(processor.get_piece_size())
            if not (
                processor.is_control(i)
                or processor.is_unknown(i)
                or processor.is_unused(i)
                or processor.is_byte(i)
            )
        }
        self.scores = {i: processor.get_score(i) for i in self.ids.values()}
        self.longest = max(map(len, self.ids), default=1)
        self.across = any(SPACE in piece[1:] for piece in self.ids)

    def encode(self, texts: Sequence[str], *, seed: int) -> list[list[int]]:
        """Draws the ids of each text, without start and end ids.

        Args:
            texts: strings.
            seed: an integer from 0 on. The same seed and texts give the same ids.
        """
        draw = random.Random(seed)
        rows = []
        for text in texts:
            normal = self.processor.normalize(valid_text(text))
            row: list[int] = []
            for word in [normal] if self.across and normal else _WORD.findall(normal):
                row += self._word(word, draw)
            rows.append(row)
        return rows

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        raise NotImplementedError

    def _usual(self, word: str) -> list[int]:
        """Returns the ids that the model gives for a normalised word."""
        ids: list[int] = self.processor.encode(word.replace(SPACE, " "), out_type=int)
        return ids


class UnigramSampler(SubwordSampler):
    """Draws from a unigram model by forward filtering and backward sampling.

    Filtering happens once for each word. Sampling happens each time that the word occurs:

    ```
    α_j = log Σ_i exp(α_i + α·score(i..j)),  α_0 = 0        over all pieces i..j that end at j
    P(the piece before j begins at i) = exp(α_i + α·score(i..j) − α_j)
    ```
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        super().__init__(tokenizer, alpha)
        # For each word and each of its positions: the cumulative probability, the begin and the id
        # of each piece that ends there. None for a word that no sequence of pieces gives.
        self._lattices: dict[str, list[list[tuple[float, int, int]]] | None] = {}

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        if word not in self._lattices:
            self._lattices[word] = self._lattice(word)
        lattice = self._lattices[word]
        if lattice is None:
            return self._usual(word)
        row = []
        place = len(word)
        while place:
            chance = draw.random()
            # Rounding may leave the last cumulative probability slightly below 1.
            _, begin, token = next(
                (piece for piece in lattice[place] if chance < piece[0]), lattice[place][-1]
            )
            row.append(token)
            place = begin
        return row[::-1]

    def _lattice(self, word: str) -> list[list[tuple[float, int, int]]] | None:
        sums = [0.0] + [-math.inf] * len(word)
        lattice: list[list[tuple[float, int, int]]] = [[]]
        for end in range(1, len(word) + 1):
            ways = [
                (sums[begin] + self.alpha * self.scores[self.ids[word[begin:end]]], begin, end)
                for begin in range(max(0, end - self.longest), end)
                if sums[begin] > -math.inf and word[begin:end] in self.ids
            ]
            lattice.append([])
            if not ways:
                continue
            top = max(ways)[0]
            total = sum(math.exp(log - top) for log, _, _ in ways)
            sums[end] = top + math.log(total)
            cumulative = 0.0
            for log, begin, _ in ways:
                cumulative += math.exp(log - top) / total
                lattice[end].append((cumulative, begin, self.ids[word[begin:end]]))
        return lattice if sums[-1] > -math.inf else None


class BPESampler(SubwordSampler):
    """Draws from a bpe model by BPE-dropout: each merge is left out with probability α.

    A word of n merges has its usual segmentation with probability (1 − α)^n. One random number
    decides how many merges precede the first one that is left out, so that most words cost no more
    than this number.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        super().__init__(tokenizer, alpha)
        # For each word, its usual ids and the number of merges that make them. The number is -1 if
        # no merges make these ids.
        self._merged: dict[str, tuple[list[int], int]] = {}

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        if word not in self._merged:
            usual = self._usual(word)
            by_merges, count = self._merge(word, None, 0)
            self._merged[word] = usual, count if by_merges == usual else -1
        usual, count = self._merged[word]
        if count <= 0 or self.alpha == 0:
            return usual
        certain = math.inf  # number of merges before the first one that is left out
        if self.alpha == 1:
            certain = 0
        elif (chance := draw.random()) > 0:
            certain = math.floor(math.log(chance) / math.log1p(-self.alpha))
        if certain >= count:
            return usual
        return self._merge(word, draw, int(certain))[0]

    def _merge(self, word: str, draw: random.Random | None, certain: int) -> tuple[list[int], int]:
        """Merges the characters of a word and returns the ids and the number of merges.

        Args:
            word: a normalised word.
            draw: the random numbers; None leaves no merge out.
            certain: the number of merges that are made before one is left out. Chance decides about
                the merges that follow.
        """
        pieces: list[str | None] = list(word)
        before, after = list(range(-1, len(word) - 1)), list(range(1, len(word) + 1))
        queue: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left < 0 or right >= len(pieces):
                return
            joined = f"{pieces[left]}{pieces[right]}"
            if joined in self.ids:
                # The queue gives the pair with the best score, and of equal scores the leftmost.
                heapq.heappush(queue, (-self.scores[self.ids[joined]], left, right, joined))

        for place in range(len(word) - 1):
            offer(place, place + 1)
        merges = 0
        first = True  # no merge has been left out yet
        while queue:
            _, left, right, joined = heapq.heappop(queue)
            if pieces[left] is None or pieces[right] is None:
                continue
            if after[left] != right or f"{pieces[left]}{pieces[right]}" != joined:
                continue
            if draw is not None:
                if first and merges == certain:
                    first = False
                    continue
                if not first and draw.random() < self.alpha:
                    continue
            pieces[left], pieces[right] = joined, None
            after[left] = after[right]
            if after[left] < len(pieces):
                before[after[left]] = left
            merges += 1
            offer(before[left], left)
            offer(left, after[left])
        merged = [piece for piece in pieces if piece is not None]
        if not all(piece in self.ids for piece in merged):
            return [], merges  # unknown characters, for which the model gives other ids
        return [self.ids[piece] for piece in merged], merges
