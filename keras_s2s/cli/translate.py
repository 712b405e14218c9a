"""The commands that use a model: `translate`, `evaluate`, `score` and `explain`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_s2s.cli import options
from keras_s2s.cli.models import check_models, load_models
from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.search_options import check_search, search_for, with_search
from keras_s2s.cli.terminal import say
from keras_s2s.system.files import write_lines

if TYPE_CHECKING:
    from keras_s2s.translation.constraints import Constraints
    from keras_s2s.translation.results import Translation
    from keras_s2s.translation.translator import Translator


@with_search
def translate(
    model: options.Model,
    file: options.Text = None,
    n_best: options.NBest = None,
    batch_size: options.BatchSize = 32,
    scores: options.Scores = False,
    ensemble: options.Ensemble = None,
    ensemble_mean: options.Mean = None,
    replace_unknown: options.ReplaceUnknown = False,
    dictionary: options.Dictionary = None,
    mbr: options.MBR = False,
    constraints: options.Constraints = None,
    *,
    search: dict[str, Any],
) -> None:
    """Translate each line of a file or of standard input to a line of standard output.

    An empty line gives an empty line. With several outputs for each text, every output is printed
    as the number of its line, a tab and the text.
    """
    from keras_s2s.data.reading import decode_lines, read_lines

    check_search(search, n_best)
    check_models(model, ensemble, ensemble_mean)
    if file is not None and str(file) != "-":
        lines = list(read_lines(file))
    else:
        if sys.stdin.isatty():
            say("enter one sentence on each line; Ctrl-D ends the input")
        lines = list(decode_lines(sys.stdin.buffer))
    constraint_lines = None if constraints is None else list(read_lines(constraints))
    translator = load_models(model, ensemble, ensemble_mean)
    translator.search = search_for(translator.search, search, n_best, all_hypotheses=mbr)
    if n_best is None:
        drawn = translator.search.needs_noise and not mbr
        n_best = translator.search.n_best if drawn else 1
    _finish(translator, replace_unknown, dictionary, mbr)
    unsatisfied = 0
    outputs = _translations(
        translator, lines, batch_size, _constraints(constraint_lines, len(lines))
    )
    for number, translations in enumerate(outputs, 1):
        unsatisfied += not translations[0].satisfied
        for translation in translations[:n_best]:
            columns = [str(number)] if n_best > 1 else []
            if scores:
                columns.append(f"{translation.score:.4f}")
            print("\t".join([*columns, translation.text]))
    if unsatisfied:
        say(f"{unsatisfied:,} of {len(lines):,} outputs lack a phrase that was required")


@with_search
def evaluate(
    model: options.Model,
    source: options.TestSource = None,
    target: options.References = None,
    data: options.TestData = None,
    batch_size: options.BatchSize = 32,
    tokenize: options.BleuTokens = "13a",
    output: options.Outputs = None,
    ensemble: options.Ensemble = None,
    ensemble_mean: options.Mean = None,
    replace_unknown: options.ReplaceUnknown = False,
    dictionary: options.Dictionary = None,
    mbr: options.MBR = False,
    *,
    search: dict[str, Any],
) -> None:
    """Score a translator by BLEU, chrF, exact match, word error rate and token error rate.

    A source may have several references: give --target several times, or put the source on several
    lines of --data.
    """
    from keras_s2s.data.reading import read_references
    from keras_s2s.evaluation.metrics import score_outputs

    _check_pair_files(source, target, data)
    if output is not None and not output.parent.is_dir():
        raise ArgumentError(f"--output must lie in a folder that exists; got {output}.")
    check_search(search)
    check_models(model, ensemble, ensemble_mean)
    sources, references = read_references(source, target or (), data=data)
    translator = load_models(model, ensemble, ensemble_mean)
    translator.search = search_for(translator.search, search, all_hypotheses=mbr)
    _finish(translator, replace_unknown, dictionary, mbr)
    outputs = [
        translations[0].text for translations in _translations(translator, sources, batch_size)
    ]
    if output is not None:
        write_lines(output, outputs)
    print(score_outputs(outputs, references, tokenize=tokenize))


def score(
    model: options.Model,
    source: options.TestSource = None,
    target: options.Targets = None,
    data: options.ScoredData = None,
    batch_size: options.BatchSize = 32,
    tokens: options.Tokens = False,
    ensemble: options.Ensemble = None,
    ensemble_mean: options.Mean = None,
) -> None:
    """Print the log-probability of each given target, a tab, and its perplexity per token.

    With --tokens, every token of the target and its log-probability follow on the same line, with
    tabs between them.
    """
    from keras_s2s.data.reading import read_pairs

    _check_pair_files(source, target, data)
    check_models(model, ensemble, ensemble_mean)
    pairs = list(read_pairs(source, target, data))
    translator = load_models(model, ensemble, ensemble_mean)
    from keras_s2s.translation.scoring import perplexity

    target_scores = translator.score(
        [text for text, _ in pairs], [text for _, text in pairs], batch_size=batch_size
    )
    for target_score in target_scores:
        columns = [f"{target_score.log_prob:.4f}", f"{target_score.perplexity:.4f}"]
        if tokens:
            pieces = translator.target_tokenizer.pieces(target_score.ids)
            for piece, log_prob in zip(pieces, target_score.token_log_probs, strict=True):
                columns += [piece, f"{log_prob:.4f}"]
        print("\t".join(columns))
    lengths = [len(target_score.ids) for target_score in target_scores]
    of_all = perplexity([target_score.log_prob for target_score in target_scores], lengths)
    say(f"{len(target_scores):,} pairs, {sum(lengths):,} tokens: perplexity {of_all:.4f}")


def explain(
    model: options.Model,
    text: Annotated[str, typer.Argument(help="Source sentence to translate.")],
    output: options.Picture,
    beam: options.Beam = None,
) -> None:
    """Translate one sentence and draw the source tokens that each output token attended to."""
    from keras_s2s.evaluation.plots import SUFFIXES, plot_alignment

    if output.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"--output must end in one of {', '.join(SUFFIXES)}; got {output}.")
    check_models(model)
    translator = load_models(model)
    translator.search = search_for(translator.search, {"beam": beam})
    alignment = translator.align(text)
    best = translator(text)
    plot_alignment(*alignment, title=best, path=output)
    print(best)


def _translations(
    translator: Translator,
    lines: Sequence[str],
    batch_size: int,
    constraints: Sequence[Constraints] | None = None,
) -> Iterator[list[Translation]]:
    """Yields the outputs of every line, each as one line. A blank line has one empty output."""
    outputs = translator.stream(lines, batch_size=batch_size, constraints=constraints)
    for line, translations in zip(lines, outputs, strict=True):
        if line.strip():
            yield [
                translation._replace(text=" ".join(translation.text.splitlines()))
                for translation in translations
            ]
        else:
            yield [translations[0]._replace(text="", score=0.0, satisfied=True)]


def _constraints(lines: Sequence[str] | None, count: int) -> list[Constraints] | None:
    """Returns the constraints of each text, from a line of JSON for each.

    Raises:
        ValueError: If there is not one line for each of the `count` texts, or if a line is not a
            JSON object of constraints.
    """
    if lines is None:
        return None
    from keras_s2s.translation.constraints import Constraints

    if len(lines) != count:
        raise ValueError(
            f"--constraints must hold a line for each of the {count} texts; got {len(lines)}."
        )
    constraints = []
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line or "{}")
        except json.JSONDecodeError as error:
            raise ValueError(
                f"--constraints, line {number}: not JSON ({error}): {line!r}"
            ) from None
        if not isinstance(fields, dict) or not set(fields) <= set(Constraints._fields):
            raise ValueError(
                f"--constraints, line {number}: must be an object of prefix, forbidden and "
                f"required; got {line!r}."
            )
        constraints.append(Constraints(**fields))
    return constraints


def _check_pair_files(
    source: Path | None, target: Path | list[Path] | None, data: Path | None
) -> None:
    if [source is None, not target, data is None] not in (
        [False, False, True],
        [True, True, False],
    ):
        raise ArgumentError("Give --source and --target, or only --data.")


def _finish(
    translator: Translator, replace_unknown: bool, dictionary: Path | None, mbr: bool
) -> None:
    """Sets `unknown_replacement` and `choice` of a translator if the options ask for them."""
    from keras_s2s.translation.minimum_bayes_risk import MinimumBayesRisk
    from keras_s2s.translation.unknowns import UnknownReplacement

    if replace_unknown or dictionary is not None:
        translator.unknown_replacement = UnknownReplacement(dictionary)
    if mbr:
        translator.choice = MinimumBayesRisk()
