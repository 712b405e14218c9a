"""The command line. Parses arguments, calls the library, turns its errors into one line.

TensorFlow is imported by the commands that need it, after everything that can be checked without it
has been: help, arguments, settings, output folders and model files answer at once.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_s2s import options
from keras_s2s.folder import SETTINGS, check_output, find_translator, write_text
from keras_s2s.settings import TrainingSettings
from keras_s2s.terminal import console, one_line_warnings, quiet_start, say, say_error

if TYPE_CHECKING:
    from keras_s2s.translation import Translation
    from keras_s2s.translator import Translator

app = typer.Typer(
    name="keras-s2s",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The base of all argument errors: click's class, wherever this version of typer keeps click.
ArgumentError: Any = typer.BadParameter.__mro__[1]


@app.callback()
def common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks, and notices of TensorFlow.")
    ] = False,
) -> None:
    """Sequence-to-sequence models with attention: train, translate, evaluate, export."""


@app.command()
def train(
    output: options.Output,
    source: options.Source = None,
    target: options.Target = None,
    data: options.Data = None,
    val_source: options.ValSource = None,
    val_target: options.ValTarget = None,
    val_data: options.ValData = None,
    tokenizer: options.BothTokenizers = "unigram",
    source_tokenizer: options.SourceTokenizer = None,
    target_tokenizer: options.TargetTokenizer = None,
    vocabulary_size: options.BothSizes = None,
    source_vocabulary_size: options.SourceSize = None,
    target_vocabulary_size: options.TargetSize = None,
    shared_vocabulary: options.SharedVocabulary = False,
    max_source_length: options.MaxSourceLength = 100,
    max_target_length: options.MaxTargetLength = 100,
    embedding_size: options.EmbeddingSize = 256,
    units: options.Units = 512,
    depth: options.Depth = 1,
    cell: options.Cell = "gru",
    attention: options.Attention = "general",
    probability: options.Probability = "softmax",
    input_feeding: options.InputFeeding = False,
    bidirectional: options.Bidirectional = True,
    reverse_source: options.ReverseSource = False,
    residual: options.Residual = False,
    layer_norm: options.LayerNorm = False,
    shared_embedding: options.SharedEmbedding = False,
    tied_embedding: options.TiedEmbedding = False,
    source_embeddings: options.SourceEmbeddings = None,
    target_embeddings: options.TargetEmbeddings = None,
    beam: options.SavedBeam = 5,
    length_penalty: options.SavedPenalty = 1.0,
    dropout: options.Dropout = 0.3,
    recurrent_dropout: options.RecurrentDropout = 0.0,
    embedding_dropout: options.EmbeddingDropout = 0.0,
    word_dropout: options.WordDropout = 0.0,
    batch_size: options.SentencesPerBatch = None,
    batch_tokens: options.BatchTokens = None,
    epochs: options.Epochs = 30,
    patience: options.Patience = 5,
    learning_rate: options.LearningRate = 1e-3,
    learning_rate_decay: options.LearningRateDecay = 0.5,
    clip_norm: options.ClipNorm = 1.0,
    seed: options.Seed = 1,
    resume: options.Resume = False,
    force: options.Force = False,
) -> None:
    """Train a translator on two text files or one TSV."""
    given: dict[str, Any] = dict(locals())
    for name in ("resume", "force", "tokenizer", "vocabulary_size"):
        del given[name]
    for name, both in (("tokenizer", tokenizer), ("vocabulary_size", vocabulary_size)):
        for option in (f"source_{name}", f"target_{name}"):
            given[option] = both if given[option] is None else given[option]
    try:
        settings = TrainingSettings(**given)
    except ValueError as error:
        raise ArgumentError(_as_options(str(error))) from error
    check_output(dataclasses.asdict(settings), resume=resume, force=force)

    with quiet_start():
        from keras_s2s import training
    try:
        result = training.train(settings, resume=resume, force=force, console=console)
    except KeyboardInterrupt:
        begun = (output / SETTINGS).exists()
        way_on = "; the same command with --resume goes on after the last finished epoch"
        say(f"interrupted{way_on if begun else ' before the training began'}")
        raise typer.Exit(130) from None
    print(
        f"{result.path}: best epoch {result.best_epoch} of {result.epochs}, "
        f"validation perplexity {result.best_perplexity:.2f}"
    )


@app.command()
def translate(
    model: options.Model,
    file: options.Text = None,
    beam: options.Beam = None,
    n_best: options.NBest = 1,
    length_penalty: options.LengthPenalty = None,
    batch_size: options.BatchSize = 32,
    scores: options.Scores = False,
) -> None:
    """Translate a file or standard input to standard output, line for line.

    An empty line gives an empty line. With --n-best, each output is: line number, tab, text.
    """
    from keras_s2s.reading import decode_lines, read_lines

    if beam is not None and n_best > beam:
        raise ArgumentError(f"--n-best can be at most --beam; got {n_best} and {beam}.")
    find_translator(model)
    if file is not None and str(file) != "-":
        lines = list(read_lines(file))
    else:
        if sys.stdin.isatty():
            say("a sentence a line; Ctrl-D ends")
        lines = list(decode_lines(sys.stdin.buffer))
    translator = _load(model, beam, length_penalty, n_best)
    for number, found in enumerate(_translations(translator, lines, batch_size), 1):
        for translation in found:
            columns = [str(number)] if n_best > 1 else []
            if scores:
                columns.append(f"{translation.score:.4f}")
            print("\t".join([*columns, translation.text]))


@app.command()
def evaluate(
    model: options.Model,
    source: options.TestSource = None,
    target: options.References = None,
    data: options.TestData = None,
    beam: options.Beam = None,
    length_penalty: options.LengthPenalty = None,
    batch_size: options.BatchSize = 32,
    tokenize: options.BleuTokens = "13a",
    output: options.Outputs = None,
) -> None:
    """Score a translator: BLEU, chrF, exact match, token error rate."""
    from keras_s2s.reading import read_parallel, read_tsv
    from keras_s2s.scores import score_outputs

    if [source is None, target is None, data is None] not in (
        [False, False, True],
        [True, True, False],
    ):
        raise ArgumentError("Give --source and --target, or --data alone.")
    if output is not None and not output.parent.is_dir():
        raise ArgumentError(f"--output must lie in a folder that exists; got {output}.")
    find_translator(model)
    pairs = list(read_tsv(data) if data else read_parallel(str(source), str(target)))
    translator = _load(model, beam, length_penalty)
    sources = [text for text, _ in pairs]
    outputs = [found[0].text for found in _translations(translator, sources, batch_size)]
    if output is not None:
        write_text(output, "".join(f"{line}\n" for line in outputs))
    print(score_outputs(outputs, [reference for _, reference in pairs], tokenize=tokenize))


@app.command()
def explain(
    model: options.Model,
    text: Annotated[str, typer.Argument(help="The sentence.")],
    output: options.Picture,
    beam: options.Beam = None,
) -> None:
    """Translate one sentence and draw what each output token attended to."""
    from keras_s2s.plots import SUFFIXES, plot_alignment

    if output.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"--output must end in one of {', '.join(SUFFIXES)}; got {output}.")
    find_translator(model)
    translator = _load(model, beam)
    alignment = translator.align(text)
    best = translator(text)
    plot_alignment(*alignment, title=best, path=output)
    print(best)


@app.command()
def export(
    model: options.Model,
    output: Annotated[Path, typer.Option(help="Folder that receives serving/ and onnx/.")],
    formats: options.Formats = "saved_model,onnx",
    name: options.ServingName = None,
    version: options.Version = None,
    sentences: options.Sentences = None,
    force: options.Force = False,
) -> None:
    """Export to SavedModel and ONNX; kept only if all of it gives the same outputs as Keras."""
    from keras_s2s.reading import read_lines

    chosen = [part.strip() for part in formats.split(",")]
    if not set(chosen) <= {"saved_model", "onnx"}:
        raise ArgumentError(f"--formats must be saved_model, onnx or both; got {formats!r}.")
    find_translator(model)
    texts = None if sentences is None else list(read_lines(sentences))
    with quiet_start():
        from keras_s2s.export import export_translator
    report = export_translator(
        _load(model),
        output,
        name=name,
        version=version,
        formats=chosen,
        sentences=texts,
        force=force,
        progress=say,
    )
    print(report)


@app.command()
def quickstart(
    output: Annotated[Path, typer.Option(help="Folder that receives everything.")] = Path(
        "saved_models/dates"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the dates and the training.")] = 1,
    force: options.Force = False,
) -> None:
    """The whole road with no data at hand: dates to ISO dates, trained, exported, verified."""
    with quiet_start():
        from keras_s2s import quickstart, training  # noqa: F401 - Keras, with its notices
    try:
        quickstart.run(output, seed=seed, force=force, console=console)
    except KeyboardInterrupt:
        say("interrupted; the same command with --force begins anew")
        raise typer.Exit(130) from None


def _load(
    model: Path,
    beam: int | None = None,
    length_penalty: float | None = None,
    n_best: int | None = None,
) -> Translator:
    """The translator with the search that the options ask for; what is not given stays as saved."""
    with quiet_start():
        from keras_s2s.translator import load_translator

    translator = load_translator(model)
    if (beam, length_penalty, n_best) != (None, None, None):
        translator.search = translator.search.like(
            width=beam, length_penalty=length_penalty, n_best=n_best
        )
    return translator


def _translations(
    translator: Translator, lines: Sequence[str], batch_size: int
) -> Iterator[list[Translation]]:
    """For every line its outputs: each one line, and none made up for a line without text."""
    for line, found in zip(lines, translator.stream(lines, batch_size=batch_size), strict=True):
        if line.strip():
            yield [best._replace(text=" ".join(best.text.splitlines())) for best in found]
        else:
            yield [found[0]._replace(text="", score=0.0)]


def _as_options(message: str) -> str:
    """Names of settings as the names of their options."""
    fields = {field.name for field in dataclasses.fields(TrainingSettings)}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{name[1].replace('_', '-')}" if name[1] in fields else name[0],
        message,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the entry point of `keras-s2s`.

    Args:
        arguments: what follows the command's name; `sys.argv[1:]` when omitted.

    Returns:
        The exit code: 0, 1 for an error, 2 for an error in the arguments, 130 when interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if debug:
        given.remove("--debug")
    else:
        # Level 3 is silence; what TensorFlow cannot keep to itself, `quiet_start` does.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        with one_line_warnings():
            code = app(given or ["--help"], prog_name="keras-s2s", standalone_mode=False)
        sys.stdout.flush()
    except ArgumentError as error:
        command = error.ctx.command_path if error.ctx else "keras-s2s"
        say_error(f"{error.format_message().rstrip('.')}. See `{command} --help`.")
        return 2
    except BrokenPipeError:
        # The reader of our output has gone; nothing is left to say, not even at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _failures() as error:
        if debug:
            raise
        say_error(str(error) or type(error).__name__)
        return 1
    return code or 0


def _failures() -> tuple[type[BaseException], ...]:
    """What a command may fail with; TensorFlow's own errors too, once it is there."""
    known = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)
    tensorflow = sys.modules.get("tensorflow")
    return known if tensorflow is None else (*known, tensorflow.errors.OpError)
