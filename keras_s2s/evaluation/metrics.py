"""Scores of outputs against one or several references each: BLEU, chrF, exact match, WER, PER.

BLEU and chrF are sacreBLEU's. Every score comes with a signature of what was computed. Shares are
from 0 to 1, BLEU and chrF from 0 to 100. `METRICS` declares each metric; every other module that
needs a metric's name, direction or unit asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from keras_s2s.system.checks import check_several
from keras_s2s.system.version import __version__

# For each output one text, or one or more of which any will do.
References: TypeAlias = Sequence[str] | Sequence[Sequence[str]]


class Score(NamedTuple):
    """A value, and the signature of the settings that it was computed with."""

    value: float
    signature: str


class Scores(NamedTuple):
    """The scores of some outputs, which `score_outputs` computes.

    Attributes:
        bleu: corpus BLEU, 0 to 100 (Papineni et al. 2002).
        chrf: corpus chrF2, 0 to 100 (Popović 2015).
        exact_match: share of outputs equal to a reference, 0 to 1; 1 − exact_match is the WER of
            grapheme-to-phoneme conversion.
        token_error_rate: edits between whitespace-separated tokens over reference tokens; can
            exceed 1. With phones as tokens, the PER.
        sentences: number of outputs.
        bleu_signature: sacreBLEU's signature of the settings behind `bleu`.
        chrf_signature: the same for `chrf`.
        match_signature: how `exact_match` was computed.
        token_signature: how `token_error_rate` was computed.
    """

    bleu: float
    chrf: float
    exact_match: float
    token_error_rate: float
    sentences: int
    bleu_signature: str
    chrf_signature: str
    match_signature: str
    token_signature: str

    def __str__(self) -> str:
        wrong = 1 - self.exact_match
        rows = (
            ("bleu", "", self.bleu, self.bleu_signature),
            ("chrf", "", self.chrf, self.chrf_signature),
            ("exact_match", "", self.exact_match, self.match_signature),
            ("wer", "WER (no match)", wrong, self.match_signature),
            ("per", "token error rate", self.token_error_rate, self.token_signature),
        )
        lines = []
        for name, title, value, signature in rows:
            metric = METRICS[name]
            percent = "%" if metric.unit == "share" else " "
            points = f"{metric.points(value):6.2f}"
            lines.append(f"{title or metric.title:<18}{points} {percent} {signature}")
        return "\n".join([*lines, f"{'sentences':<18}{self.sentences:6d}"])


def score_outputs(
    outputs: Sequence[str], references: References, *, tokenize: str | None = None
) -> Scores:
    """Scores outputs against their references: BLEU, chrF2, exact match and token error rate.

    Each score comes with the signature of the settings behind it, without which two numbers cannot
    be compared. `print(score_outputs(...))` shows all of them.

    Args:
        outputs: what a translator said, as plain text.
        references: for each output what it should have said: a text, or a list of one or more
            texts any of which will do. `group_references` makes such lists.
        tokenize: sacreBLEU's tokenizer for BLEU. None is its default, '13a'; 'none' is for text
            that is tokenised already.

    Returns:
        `Scores`.

    Raises:
        ValueError: If there is nothing to score, if there are not as many references as outputs, if
            an output has no reference, or if the tokenizer is unknown.
        TypeError: If `outputs` or `references` is one string instead of a list.

    Example:
    >>> scores = score_outputs(["a man rides a red bike"], ["a man rides a bike"])
    >>> scores.exact_match, scores.token_error_rate  # one token of five is too many
    (0.0, 0.2)
    >>> spoken = score_outputs(["R EH D"], [["R IY D", "R EH D"]])  # two pronunciations of READ
    >>> spoken.exact_match
    1.0
    >>> spoken.match_signature.split("|version")[0]
    'nrefs:2|unit:output|reference:any'
    """
    by_bleu = bleu(outputs, references, tokenize=tokenize)
    by_chrf = chrf(outputs, references)
    matches = exact_match(outputs, references)
    errors = phone_error_rate(outputs, references)
    return Scores(
        by_bleu.value,
        by_chrf.value,
        matches.value,
        errors.value,
        len(outputs),
        by_bleu.signature,
        by_chrf.signature,
        matches.signature,
        errors.signature,
    )


def bleu(outputs: Sequence[str], references: References, *, tokenize: str | None = None) -> Score:
    """Corpus BLEU by sacreBLEU, 0 to 100; arguments and errors are those of `score_outputs`."""
    from sacrebleu.metrics import BLEU

    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise ValueError(
            f"`tokenize` must be one of {', '.join(BLEU.TOKENIZERS)} or None; got {tokenize!r}."
        )
    metric = BLEU(tokenize=tokenize)
    found = metric.corpus_score(list(outputs), _streams(_checked(outputs, references)))
    return Score(found.score, str(metric.get_signature()))


def chrf(outputs: Sequence[str], references: References) -> Score:
    """Corpus chrF2 by sacreBLEU, 0 to 100; arguments and errors are those of `score_outputs`."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    found = metric.corpus_score(list(outputs), _streams(_checked(outputs, references)))
    return Score(found.score, str(metric.get_signature()))


def exact_match(outputs: Sequence[str], references: References) -> Score:
    """Share of outputs equal to any of their references, 0 to 1."""
    checked = _checked(outputs, references)
    right = sum(output in allowed for output, allowed in zip(outputs, checked, strict=True))
    return Score(right / len(outputs), _signature(checked, "output", "any"))


def word_error_rate(outputs: Sequence[str], references: References) -> Score:
    """Share of outputs equal to none of their references, 0 to 1: WER as in G2P.

    In grapheme-to-phoneme conversion an output is the pronunciation of a word, which is right or
    wrong as a whole. This is not the WER of speech recognition, which counts edits between the
    words of a sentence; that one is `phone_error_rate` of texts of words.

    Example:
    >>> word_error_rate(["K AE T", "D AA G"], [["K AE T"], ["D AO G", "D AA G S"]]).value
    0.5
    """
    found = exact_match(outputs, references)
    return Score(1 - found.value, found.signature)


def phone_error_rate(outputs: Sequence[str], references: References) -> Score:
    """Edits to the closest reference over its length, both summed over outputs: PER.

    ```
    Σ edits(output, reference*) / Σ |reference*|,   reference* with the fewest edits, the first such
    ```

    Edits are insertions, deletions and substitutions of tokens (Levenshtein 1966); white space
    separates tokens. The rate can exceed 1.

    Example: one edit to the first pronunciation, of three phones, and two to the other.
    >>> round(phone_error_rate(["K AE P"], [["K AE T", "K AH T S"]]).value, 4)
    0.3333
    """
    from rapidfuzz.distance import Levenshtein

    checked = _checked(outputs, references)
    edits = tokens = 0
    for output, allowed in zip(outputs, checked, strict=True):
        said = output.split()
        alternatives = [each.split() for each in allowed]
        distances = [Levenshtein.distance(said, each) for each in alternatives]
        edits += min(distances)
        tokens += len(alternatives[distances.index(min(distances))])
    return Score(edits / max(tokens, 1), _signature(checked, "token", "closest"))


@dataclass(frozen=True)
class Metric:
    """A metric that translators are judged by, with everything the library knows about it.

    The signature of a value depends on the outputs and references too, so it is part of each
    `Score`.

    Attributes:
        name: the metric in settings, in recipes and, after `val_`, in the logs of a training.
        title: the metric in tables and plots.
        unit: 'points' from 0 to 100, a 'share' that is 1 at 100 %, or 'none'.
        higher_is_better: whether a good translator has a high value.
        template: the format of a value, as wide as values usually are, so that they form columns.
        compute: from outputs and references to their `Score`. None for a metric that Keras
            computes from the probabilities of the true tokens, without any output.
        takes_tokenizer: whether `compute` takes a tokenizer of sacreBLEU as `tokenize`.

    Example:
    >>> METRICS["wer"].higher_is_better, METRICS["wer"].label
    (False, 'WER, %')
    """

    name: str
    title: str
    unit: Literal["points", "share", "none"]
    higher_is_better: bool
    template: str
    compute: Callable[..., Score] | None
    takes_tokenizer: bool = False

    @property
    def needs_outputs(self) -> bool:
        """Whether the metric compares decoded outputs with references."""
        return self.compute is not None

    @property
    def label(self) -> str:
        """The title with the unit of what `points` returns."""
        return f"{self.title}, %" if self.unit == "share" else self.title

    def points(self, value: float) -> float:
        """Converts a share to percent; returns other values as they are."""
        return 100 * value if self.unit == "share" else value

    def text(self, value: float) -> str:
        """Formats a value, without padding."""
        return self.template.format(value).strip()

    def score(
        self, outputs: Sequence[str], references: References, *, tokenize: str | None = None
    ) -> Score:
        """Scores outputs; arguments and errors are those of `score_outputs`.

        Args:
            outputs: texts.
            references: for each output its reference, or a list of them.
            tokenize: the tokenizer for a metric that takes one; others ignore it.

        Raises:
            TypeError: If the metric needs no outputs.
        """
        if self.compute is None:
            raise TypeError(f"`{self.name}` is no score of outputs; Keras computes it.")
        if self.takes_tokenizer:
            return self.compute(outputs, references, tokenize=tokenize)
        return self.compute(outputs, references)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("perplexity", "perplexity", "none", False, "{:7.2f}", None),
        Metric("bleu", "BLEU", "points", True, "{:6.2f}", bleu, takes_tokenizer=True),
        Metric("chrf", "chrF2", "points", True, "{:6.2f}", chrf),
        Metric("wer", "WER", "share", False, "{:6.2%}", word_error_rate),
        Metric("per", "PER", "share", False, "{:6.2%}", phone_error_rate),
        Metric("exact_match", "exact match", "share", True, "{:7.2%}", exact_match),
    )
}


def _checked(outputs: Sequence[str], references: References) -> list[list[str]]:
    """The references of every output, as a list each."""
    check_several("outputs", outputs)
    check_several("references", references)
    if len(outputs) != len(references):
        raise ValueError(
            "There must be one reference per output, or one list of them; got "
            f"{len(outputs)} outputs and {len(references)} references."
        )
    if not outputs:
        raise ValueError("There is nothing to score: got no outputs. Give at least one sentence.")
    checked = [[each] if isinstance(each, str) else list(each) for each in references]
    if not all(checked):
        raise ValueError(f"Every output needs a reference; output {checked.index([])} has none.")
    return checked


def _streams(references: list[list[str]]) -> list[list[Any]]:
    """As sacreBLEU takes them: all first references, all second ones; None where there is none."""
    most = max(map(len, references))
    return [[each[i] if i < len(each) else None for each in references] for i in range(most)]


def _signature(references: list[list[str]], unit: str, matched: str) -> str:
    counts = {len(each) for each in references}
    number = counts.pop() if len(counts) == 1 else "var"
    return f"nrefs:{number}|unit:{unit}|reference:{matched}|version:keras_s2s-{__version__}"
