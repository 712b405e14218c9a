"""Metrics of outputs against one or several references each: BLEU, chrF, exact match, WER, PER.

sacreBLEU computes BLEU and chrF, from 0 to 100. The other metrics are shares, from 0 to 1. Every
score has a signature, which states the settings of its computation. `METRICS` declares each metric
once, and every other module takes a metric's name, direction and unit from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from keras_s2s.system.checks import check_several
from keras_s2s.system.version import __version__

# One reference for each output, or a list of references that are all right.
References: TypeAlias = Sequence[str] | Sequence[Sequence[str]]


class Score(NamedTuple):
    """The value of a metric, and the signature of the settings that it was computed with."""

    value: float
    signature: str


class Scores(NamedTuple):
    """The scores of outputs that `score_outputs` computes.

    Attributes:
        bleu: corpus BLEU, 0 to 100 (Papineni et al. 2002).
        chrf: corpus chrF2, 0 to 100 (Popović 2015).
        exact_match: the share of outputs equal to a reference, 0 to 1. In grapheme-to-phoneme
            conversion (G2P), 1 − exact_match is the WER.
        token_error_rate: edits between tokens that white space separates, divided by the number of
            reference tokens. It can exceed 1. With phones as tokens it is the PER.
        sentences: the number of outputs.
        bleu_signature: sacreBLEU's signature of `bleu`.
        chrf_signature: sacreBLEU's signature of `chrf`.
        match_signature: the signature of `exact_match`.
        token_signature: the signature of `token_error_rate`.
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

    BLEU (Papineni et al. 2002) and chrF2 (Popović 2015) are those of sacreBLEU (Post 2018). Each
    score has a signature of its settings, and only scores with equal signatures can be compared.
    `print(score_outputs(...))` shows all of them.

    Args:
        outputs: the outputs of a translator, as plain text.
        references: the right output for each of the outputs: a text, or a list of one or more texts
            that are all right. `group_references` makes such lists.
        tokenize: the name of sacreBLEU's tokenizer for BLEU. None is its default, '13a', and 'none'
            is for text that is tokenised already.

    Returns:
        The `Scores`.

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
    """Computes sacreBLEU's corpus BLEU, 0 to 100.

    Arguments and errors are those of `score_outputs`.
    """
    from sacrebleu.metrics import BLEU

    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise ValueError(
            f"`tokenize` must be one of {', '.join(BLEU.TOKENIZERS)} or None; got {tokenize!r}."
        )
    metric = BLEU(tokenize=tokenize)
    streams = _reference_streams(_reference_lists(outputs, references))
    value = metric.corpus_score(list(outputs), streams).score
    return Score(value, str(metric.get_signature()))


def chrf(outputs: Sequence[str], references: References) -> Score:
    """Computes sacreBLEU's corpus chrF2, 0 to 100.

    Arguments and errors are those of `score_outputs`.
    """
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    streams = _reference_streams(_reference_lists(outputs, references))
    value = metric.corpus_score(list(outputs), streams).score
    return Score(value, str(metric.get_signature()))


def exact_match(outputs: Sequence[str], references: References) -> Score:
    """Computes the share of outputs that equal any of their references, 0 to 1."""
    lists = _reference_lists(outputs, references)
    right = sum(output in allowed for output, allowed in zip(outputs, lists, strict=True))
    return Score(right / len(outputs), _signature(lists, "output", "any"))


def word_error_rate(outputs: Sequence[str], references: References) -> Score:
    """Computes the WER of G2P, the share of outputs that equal none of their references, 0 to 1.

    In grapheme-to-phoneme conversion (G2P) an output is the pronunciation of a word, which is right
    or wrong as a whole. This is not the WER of speech recognition, which counts edits between the
    words of a sentence. `phone_error_rate` computes that WER for sentences of words.

    Example:
    >>> word_error_rate(["K AE T", "D AA G"], [["K AE T"], ["D AO G", "D AA G S"]]).value
    0.5
    """
    matches = exact_match(outputs, references)
    return Score(1 - matches.value, matches.signature)


def phone_error_rate(outputs: Sequence[str], references: References) -> Score:
    """Computes the phone error rate (PER), the edits to the closest reference over its length.

    ```
    Σ edits(output, reference*) / Σ |reference*|
    ```

    Both sums are over outputs. Edits are insertions, deletions and substitutions of tokens
    (Levenshtein 1966), which white space separates. `reference*` is the reference with the fewest
    edits, or the first one of several. The rate can exceed 1.

    Example: one edit to the first pronunciation, of three phones, and two to the other.
    >>> round(phone_error_rate(["K AE P"], [["K AE T", "K AH T S"]]).value, 4)
    0.3333
    """
    from rapidfuzz.distance import Levenshtein

    lists = _reference_lists(outputs, references)
    edits = tokens = 0
    for output, allowed in zip(outputs, lists, strict=True):
        phones = output.split()
        alternatives = [reference.split() for reference in allowed]
        distances = [Levenshtein.distance(phones, alternative) for alternative in alternatives]
        edits += min(distances)
        tokens += len(alternatives[distances.index(min(distances))])
    return Score(edits / max(tokens, 1), _signature(lists, "token", "closest"))


@dataclass(frozen=True)
class Metric:
    """A metric of translators, with everything that the library knows about it.

    The signature belongs to each `Score`, since it also depends on the outputs and references.

    Attributes:
        name: the name in settings, in recipes and, after `val_`, in the logs of a training.
        title: the name in tables and plots.
        unit: 'points' for 0 to 100, 'share' for 0 to 1 at 100 %, or 'none'.
        higher_is_better: whether a good translator has a high value.
        template: the format of a value. Its width is the usual one, so that values form columns.
        compute: a function from outputs and references to their `Score`; None for a metric that
            Keras computes from the probabilities of the true tokens, without any output.
        takes_tokenizer: whether `compute` takes the name of a sacreBLEU tokenizer as `tokenize`.

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
        """The title with the unit of the value that `points` returns."""
        return f"{self.title}, %" if self.unit == "share" else self.title

    def points(self, value: float) -> float:
        """Converts a share to percent and returns other values unchanged."""
        return 100 * value if self.unit == "share" else value

    def text(self, value: float) -> str:
        """Formats a value, without padding."""
        return self.template.format(value).strip()

    def score(
        self, outputs: Sequence[str], references: References, *, tokenize: str | None = None
    ) -> Score:
        """Scores outputs. Arguments and errors are those of `score_outputs`.

        Args:
            outputs: the outputs of a translator.
            references: the reference of each output, or a list of its references.
            tokenize: the name of the tokenizer for a metric that takes one. Other metrics ignore
                it.

        Raises:
            TypeError: If the metric needs no outputs.
        """
        if self.compute is None:
            raise TypeError(
                f"`{self.name}` does not score outputs: Keras computes it from probabilities. Use "
                "model.evaluate."
            )
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


def _reference_lists(outputs: Sequence[str], references: References) -> list[list[str]]:
    """Checks the references and returns the list of references of each output."""
    check_several("outputs", outputs)
    check_several("references", references)
    if len(outputs) != len(references):
        raise ValueError(
            "There must be one reference per output, or one list of them; got "
            f"{len(outputs)} outputs and {len(references)} references."
        )
    if not outputs:
        raise ValueError("There is nothing to score: got no outputs. Give at least one sentence.")
    lists = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    if not all(lists):
        raise ValueError(
            f"Every output needs a reference; output {lists.index([])} has none. Leave it out, or "
            "give a reference."
        )
    return lists


def _reference_streams(lists: list[list[str]]) -> list[list[Any]]:
    """Returns references as sacreBLEU takes them: all first ones, then all second ones, and so on.

    If an output has fewer references than others, None takes their places.
    """
    most = max(map(len, lists))
    return [[texts[i] if i < len(texts) else None for texts in lists] for i in range(most)]


def _signature(lists: list[list[str]], unit: str, matched: str) -> str:
    counts = {len(texts) for texts in lists}
    number = counts.pop() if len(counts) == 1 else "var"
    return f"nrefs:{number}|unit:{unit}|reference:{matched}|version:keras_s2s-{__version__}"
