"""Scores of outputs: sacreBLEU's BLEU and chrF, exact match, token error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Scores(NamedTuple):
    """What `score_outputs` found.

    Attributes:
        bleu: corpus BLEU, 0 to 100 (Papineni et al. 2002).
        chrf: corpus chrF2, 0 to 100 (Popović 2015).
        exact_match: share of outputs equal to their reference, 0 to 1.
        token_error_rate: edits between whitespace-separated tokens over reference tokens; can
            exceed 1.
        sentences: number of outputs.
        bleu_signature: sacreBLEU's signature of the settings behind `bleu`.
        chrf_signature: the same for `chrf`.
    """

    bleu: float
    chrf: float
    exact_match: float
    token_error_rate: float
    sentences: int
    bleu_signature: str
    chrf_signature: str

    def __str__(self) -> str:
        return "\n".join(
            (
                f"BLEU              {self.bleu:6.2f}   {self.bleu_signature}",
                f"chrF2             {self.chrf:6.2f}   {self.chrf_signature}",
                f"exact match       {100 * self.exact_match:6.2f} %",
                f"token error rate  {100 * self.token_error_rate:6.2f} %",
                f"sentences         {self.sentences:6d}",
            )
        )


def score_outputs(
    outputs: Sequence[str], references: Sequence[str], *, tokenize: str | None = None
) -> Scores:
    """Compares outputs with one reference each.

    Args:
        outputs: what the model said, as plain text.
        references: what it should have said; as many.
        tokenize: sacreBLEU's tokenizer for BLEU: None for its default, '13a'; 'none' for text that
            is tokenised.

    Returns:
        `Scores`.

    Raises:
        ValueError: if there is nothing to score, the counts differ, or the tokenizer is unknown.
        TypeError: one string in place of a list.

    Example:
    >>> scores = score_outputs(["a man rides a red bike"], ["a man rides a bike"])
    >>> scores.exact_match, scores.token_error_rate
    (0.0, 0.2)
    """
    for name, value in (("outputs", outputs), ("references", references)):
        if isinstance(value, str):
            raise TypeError(f"`{name}` must be a list of strings; got one str. Pass [text].")
    if len(outputs) != len(references):
        raise ValueError(
            f"There must be one reference per output; got {len(outputs)} outputs and "
            f"{len(references)} references."
        )
    if not outputs:
        raise ValueError("There is nothing to score: got no outputs. Give at least one sentence.")
    from sacrebleu.metrics import BLEU, CHRF

    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise ValueError(
            f"`tokenize` must be one of {', '.join(BLEU.TOKENIZERS)} or None; got {tokenize!r}."
        )
    bleu, chrf = BLEU(tokenize=tokenize), CHRF()
    bleu_score = bleu.corpus_score(list(outputs), [list(references)]).score
    chrf_score = chrf.corpus_score(list(outputs), [list(references)]).score
    pairs = list(zip(outputs, references, strict=True))
    edits = sum(edit_distance(output.split(), reference.split()) for output, reference in pairs)
    tokens = sum(len(reference.split()) for _, reference in pairs)
    return Scores(
        bleu_score,
        chrf_score,
        sum(output == reference for output, reference in pairs) / len(pairs),
        edits / max(tokens, 1),
        len(pairs),
        str(bleu.get_signature()),
        str(chrf.get_signature()),
    )


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Fewest insertions, deletions, substitutions from `left` to `right` (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
