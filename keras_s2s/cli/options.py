"""The options of the command line: their types, their help, and what is checked before a command.

The options of `train` that are settings of a training are declared with the settings; see
`commands.settings`.
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
# A file to read: one that is not there is an argument error.
_file = partial(typer.Option, exists=True, dir_okay=False)
_hosts = partial(typer.Option, rich_help_panel="Several hosts")

# Of several commands.
Model = Annotated[
    Path,
    typer.Argument(help="Saved translator: a .keras file, or the folder that a training wrote."),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1, help="Width of the beam search; 1 is greedy. Default: as saved with the model."
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Number of sentences in a batch.")]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="OTHER",
        help="Saved translator that decodes together with the first one; may be given several "
        "times.",
    ),
]
Mean = Annotated[
    EnsembleMean | None,
    typer.Option(
        metavar="MEAN",
        help="What an ensemble averages: probabilities or log_probabilities. "
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
    _file(
        help="Replace unknown words as --replace-unknown does, but look the source word up in "
        "this file first; a line is a source word, a tab and its replacement."
    ),
]
MBR = Annotated[
    bool,
    typer.Option(
        "--mbr",
        help="Choose the output that is most like the others of the search (minimum Bayes risk).",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an earlier result in the output folder.")
]

# Of `train`; its other options are made from the fields of `TrainingSettings`.
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel="Output",
        help="Go on with the training in the output folder, after its last finished epoch.",
    ),
]
ForceTraining = Annotated[
    bool,
    typer.Option(
        "--force",
        rich_help_panel="Output",
        help="Replace an earlier training in the output folder.",
    ),
]
Hosts = Annotated[
    str | None,
    _hosts(
        metavar="LIST",
        help="Addresses of all hosts that train together, as name:port with commas between them; "
        "the same on every host, with KERAS_BACKEND=jax.",
    ),
]
Host = Annotated[
    int | None,
    _hosts(help="Position of this host in --hosts, from 0; host 0 writes the output."),
]

# Of the others.
Text = Annotated[
    Path | None,
    typer.Argument(
        help="File with one sentence on each line; standard input when left out, or for -."
    ),
]
NBest = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of outputs for each sentence. Default: 1; with --samples, all that are drawn.",
    ),
]
Scores = Annotated[
    bool, typer.Option("--scores", help="Print the score of each output and a tab before it.")
]
TestSource = Annotated[
    Path | None, _file("--source", help="File with one source sentence on each line.")
]
References = Annotated[
    list[Path] | None,
    _file(
        "--target",
        help="File whose line n is a reference for line n of --source; may be given several times.",
    ),
]
TestData = Annotated[
    Path | None,
    _file(
        "--data",
        help="File in place of --source and --target, whose lines are a source, a tab and a "
        "reference; a source on several lines has several references.",
    ),
]
Targets = Annotated[
    Path | None, _file("--target", help="File whose line n is the target of line n of --source.")
]
ScoredData = Annotated[
    Path | None,
    _file(
        "--data",
        help="File in place of --source and --target; a line is a source, a tab and a target.",
    ),
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="Print every token and its log-probability too.")
]
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
        help="Weight of a model in the mean; given once for each model, in their order. "
        "Default: equal weights.",
    ),
]
BleuTokens = Annotated[
    BleuTokenizer,
    typer.Option(
        "--tokenize",
        metavar="NAME",
        help="Tokenizer with which sacreBLEU computes BLEU; none is for text that is tokenised "
        "already.",
    ),
]
Outputs = Annotated[
    Path | None, typer.Option("--output", help="File to write the outputs to, one on each line.")
]
Picture = Annotated[
    Path, typer.Option("--output", help="Path of the picture to write: .png, .svg or .pdf.")
]
Formats = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Formats to write, of serving, onnx and triton, with commas between them.",
    ),
]
ServedBeam = Annotated[
    int | None,
    typer.Option(
        "--beam",
        min=1,
        help="Number of hypotheses of the exported beam search. Default: as saved with the model, "
        "or 5 for a model without a beam.",
    ),
]
Server = Annotated[
    str,
    typer.Option(
        metavar="VERSION",
        help="Oldest version of TensorFlow Serving that should load the export; an operator that "
        "it lacks is an error.",
    ),
]
ServingName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of the served model, as in serving/NAME/VERSION. Default: that of the folder.",
    ),
]
Version = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of the served version, as in serving/NAME/VERSION. Default: one more than the "
        "highest in the folder.",
    ),
]
OriginalModel = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Translator that was exported, to compare with Keras' own outputs again."
    ),
]
NewServer = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="VERSION",
        help="Version of TensorFlow Serving that must load the export. Default: as exported.",
    ),
]
Sentences = Annotated[
    Path | None,
    _file(help="File with sentences to verify with, one on each line. Default: random ones."),
]
Int8References = Annotated[
    Path | None,
    _file(
        "--references",
        help="File whose line n is the reference of line n of --sentences, to measure int8 by.",
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="int8",
        help="Write each ONNX model with weights of 8 bits too; must be int8.",
    ),
]
Int8Drop = Annotated[
    float,
    typer.Option(
        metavar="POINTS",
        help="Largest loss of BLEU or exact match that int8 may have, in points from 0 to 100; inf "
        "allows any.",
    ),
]
Constraints = Annotated[
    Path | None,
    _file(
        help="File whose line n is a JSON object for text n, with the keys prefix, forbidden and "
        "required; {} asks for nothing.",
        rich_help_panel="Search",
    ),
]

# Of searches, by the names of their settings; what is not given stays as saved with the model.
_search = partial(typer.Option, rich_help_panel="Search")
SEARCH: dict[str, Any] = {
    "beam": Annotated[
        int | None, _search(min=1, help="Width of the beam search; 1 is greedy search.")
    ],
    "length_penalty": Annotated[
        str | None,
        _search(
            metavar="PENALTY",
            help="Length penalty: a number, the weight of GNMT's; or none, gnmt, tfa, opennmt_tf, "
            "joeynmt, google_seq2seq, sockeye or marian, with arguments as in "
            "'marian(normalize=0.7)'.",
        ),
    ],
    "coverage_penalty": Annotated[
        float | None,
        _search(
            min=0,
            help="Weight of GNMT's coverage penalty, which prefers outputs that attend to the "
            "whole source.",
        ),
    ],
    "stop": Annotated[
        str | None,
        _search(
            metavar="WHEN",
            help="When the beam search stops: exact, as soon as no better output can come; first, "
            "as soon as one output is complete.",
        ),
    ],
    "groups": Annotated[
        int | None, _search(min=1, help="Number of groups of a diverse beam search.")
    ],
    "diversity": Annotated[
        float | None,
        _search(
            min=0,
            help="How strongly the groups of a diverse beam search avoid each other's tokens.",
        ),
    ],
    "samples": Annotated[
        int | None, _search(min=1, help="Number of outputs that are drawn at random for each text.")
    ],
    "temperature": Annotated[
        float | None,
        _search(
            help="Temperature of drawing: below 1 prefers probable tokens, above 1 evens them out."
        ),
    ],
    "top_k": Annotated[
        int | None, _search(min=1, help="Draw from this many most probable tokens.")
    ],
    "top_p": Annotated[
        float | None,
        _search(help="Draw from the most probable tokens that hold this share of the probability."),
    ],
    "epsilon": Annotated[
        float | None, _search(help="Draw from tokens of at least this probability.")
    ],
    "seed": Annotated[
        int | None, _search(min=0, help="Seed of drawing, for the same outputs every time.")
    ],
    "max_length": Annotated[int | None, _search(min=1, help="Largest number of ids in an output.")],
    "min_length": Annotated[
        str | None,
        _search(
            metavar="B|A,B",
            help="Least number of ids in an output: B, or A·S + B for a source of S ids.",
        ),
    ],
    "length_limit": Annotated[
        str | None,
        _search(
            metavar="A,B",
            help="Largest number of ids in an output as A·S + B, for a source of S ids.",
        ),
    ],
    "allow_unknown": Annotated[
        bool | None,
        _search("--allow-unknown/--no-unknown", help="Whether outputs may have unknown words."),
    ],
    "repetition_penalty": Annotated[
        float | None,
        _search(
            min=1,
            help="Factor that makes tokens less probable if the output has them already; 1 changes "
            "nothing.",
        ),
    ],
    "no_repeat_ngram": Annotated[
        int | None,
        _search(
            min=0,
            help="Length of token sequences that an output has only once; 0 allows repetition.",
        ),
    ],
}
