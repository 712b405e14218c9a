"""The options that several commands share, and those of the commands that use or change a model.

An option is an annotated type, with the values that it takes, its help, and the checks that are
possible before a command begins. The options of a search are in `search_options`, those of a
training in `training_options`, and those of an export beside its commands in `export`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from keras_s2s.training.settings.choices import BleuTokenizer

# The base of all argument errors: click's class, wherever this version of typer keeps click.
ArgumentError: Any = typer.BadParameter.__mro__[1]

EnsembleMean: TypeAlias = Literal["probabilities", "log_probabilities"]
# An option for a file to read. A missing file is an argument error.
file_option = partial(typer.Option, exists=True, dir_okay=False)

# Options of several commands.
Model = Annotated[
    Path,
    typer.Argument(help="Saved translator: a .keras file, or the folder that a training wrote."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Number of sentences in a batch.")]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="OTHER",
        help="Saved translator that decodes together with the first one. This option may be given "
        "several times.",
    ),
]
Mean = Annotated[
    EnsembleMean | None,
    typer.Option(
        metavar="MEAN",
        help="Numbers that an ensemble averages: probabilities or log_probabilities. "
        "Default: probabilities.",
    ),
]
ReplaceUnknown = Annotated[
    bool,
    typer.Option(
        "--replace-unknown",
        help="Replace unknown words by the source word that they attended to most.",
    ),
]
Dictionary = Annotated[
    Path | None,
    file_option(
        help="Replace unknown words as --replace-unknown does, but first look the source word up "
        "in this file. Each line holds a source word, a tab and its replacement."
    ),
]
MBR = Annotated[
    bool,
    typer.Option(
        "--mbr",
        help="Choose the output that agrees most with the other outputs of the search, which is "
        "called minimum Bayes risk.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an earlier result in the output folder.")
]

# Options of `translate`.
Text = Annotated[
    Path | None,
    typer.Argument(
        help="File with one sentence on each line. Without it, or with -, sentences come from "
        "standard input."
    ),
]
NBest = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of outputs for each sentence. Default: 1, or all samples with --samples.",
    ),
]
Scores = Annotated[
    bool, typer.Option("--scores", help="Print the score of each output before it, with a tab.")
]
Constraints = Annotated[
    Path | None,
    file_option(
        help="File whose line n is a JSON object with the constraints on the output for text n. "
        "Its keys are prefix, forbidden and required, and {} asks for nothing.",
    ),
]

# Options of `evaluate`, `score` and `explain`.
TestSource = Annotated[
    Path | None, file_option("--source", help="File with one source sentence on each line.")
]
References = Annotated[
    list[Path] | None,
    file_option(
        "--target",
        help="File whose line n is a reference for line n of --source. This option may be given "
        "several times.",
    ),
]
TestData = Annotated[
    Path | None,
    file_option(
        "--data",
        help="File in place of --source and --target. Each line holds a source, a tab and a "
        "reference. A source on several lines has several references.",
    ),
]
BleuTokens = Annotated[
    BleuTokenizer,
    typer.Option(
        "--tokenize",
        metavar="NAME",
        help="Tokenizer with which sacreBLEU computes BLEU. none is for text that is tokenised "
        "already.",
    ),
]
Outputs = Annotated[
    Path | None, typer.Option("--output", help="File to write the outputs to, one on each line.")
]
Targets = Annotated[
    Path | None,
    file_option("--target", help="File whose line n is the target of line n of --source."),
]
ScoredData = Annotated[
    Path | None,
    file_option(
        "--data",
        help="File in place of --source and --target. Each line holds a source, a tab and a "
        "target.",
    ),
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="Print every token and its log-probability too.")
]
Picture = Annotated[
    Path, typer.Option("--output", help="Path of the picture to write: .png, .svg or .pdf.")
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Width of the beam search. 1 is greedy search. Default: as saved with the model.",
    ),
]

# Options of `average` and `compress`.
Models = Annotated[
    list[Path],
    typer.Argument(
        help="Saved translators: .keras files, or folders that trainings wrote.", metavar="MODEL..."
    ),
]
KerasFile = Annotated[Path, typer.Option("--output", help="Path of the .keras file to write.")]
ForceFile = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--weight",
        help="Weight of a model in the mean. Give this option once for each model, in their order. "
        "Default: equal weights.",
    ),
]
