"""The options of the command line: their types, their help, and what is checked before a command.

Ranges of training options are checked by `TrainingSettings`, so they are not repeated here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from keras_s2s.ranges import (
    AttentionKind,
    BleuTokenizer,
    CellKind,
    MonitorKind,
    PrecisionKind,
    ProbabilityKind,
    RateKind,
    TokenizerKind,
)

# The base of all argument errors: click's class, wherever this version of typer keeps click.
ArgumentError: Any = typer.BadParameter.__mro__[1]

EnsembleMean: TypeAlias = Literal["probabilities", "log_probabilities"]
# A file to read: one that is not there is an argument error.
_file = partial(typer.Option, exists=True, dir_okay=False)
_text = partial(_file, rich_help_panel="Text")
_vocabulary = partial(typer.Option, rich_help_panel="Vocabulary")
_model = partial(typer.Option, rich_help_panel="Model")
_training = partial(typer.Option, rich_help_panel="Training")
_hosts = partial(typer.Option, rich_help_panel="Several hosts")
_KINDS = "unigram, bpe, char or word."

# Of several commands.
Model = Annotated[
    Path, typer.Argument(help="A translator.keras, or the folder that training wrote it to.")
]
Beam = Annotated[
    int | None, typer.Option(min=1, help="Beam width; 1 is greedy. Default: as saved.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Sentences per batch.")]
Ensemble = Annotated[
    list[Path] | None,
    typer.Option(metavar="OTHER", help="Decode with this model too; may be given several times."),
]
Mean = Annotated[
    EnsembleMean | None,
    typer.Option(
        metavar="MEAN",
        help="Of an ensemble: probabilities or log_probabilities. Default: probabilities.",
    ),
]
ReplaceUnknown = Annotated[
    bool,
    typer.Option("--replace-unknown", help="Put the most attended source word for unknown ones."),
]
Dictionary = Annotated[
    Path | None,
    _file(help="The same, but look words up first: lines of source word, tab, replacement."),
]
MBR = Annotated[
    bool,
    typer.Option("--mbr", help="Of all outputs of the beam, take the one most like the others."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is in the output folder.")]

# Of `train`, by the names of its settings.
Output = Annotated[Path, typer.Option(help="Folder that receives translator.keras.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")]
Source = Annotated[Path | None, _text(help="Training source, a sentence a line.")]
Target = Annotated[Path | None, _text(help="Training target, line for line.")]
Data = Annotated[Path | None, _text(help="In place of the two: lines of source, tab, target.")]
ValSource = Annotated[Path | None, _text(help="Validation source.")]
ValTarget = Annotated[Path | None, _text(help="Validation target.")]
ValData = Annotated[Path | None, _text(help="In place of the two.")]
BothTokenizers = Annotated[
    TokenizerKind, _vocabulary("--tokenizer", metavar="KIND", help=f"Of both sides: {_KINDS}")
]
SourceTokenizer = Annotated[
    TokenizerKind | None, _vocabulary(metavar="KIND", help="Of the source alone.")
]
TargetTokenizer = Annotated[
    TokenizerKind | None, _vocabulary(metavar="KIND", help="Of the target alone.")
]
BothSizes = Annotated[
    int | None,
    _vocabulary(
        "--vocabulary-size", help="Ids of a side. Default: 8000 subwords; all characters or words."
    ),
]
SourceSize = Annotated[
    int | None, _vocabulary("--source-vocabulary-size", help="Ids of the source alone.")
]
TargetSize = Annotated[
    int | None, _vocabulary("--target-vocabulary-size", help="Ids of the target alone.")
]
SharedVocabulary = Annotated[
    bool, _vocabulary("--shared-vocabulary", help="One tokenizer for both sides.")
]
TokenizersFrom = Annotated[
    Path | None,
    _file(
        rich_help_panel="Vocabulary",
        help="Take those of this translator.keras, to decode both models together.",
    ),
]
SubwordSampling = Annotated[
    float | None,
    _vocabulary(
        metavar="ALPHA",
        help="Segment unigram and bpe text anew in every epoch; unigram: 0.2 to 0.5, bpe: 0.1.",
    ),
]
IdsOnDisk = Annotated[
    bool,
    _vocabulary(
        "--ids-on-disk", help="Keep the text in TMPDIR, not in memory: for millions of pairs."
    ),
]
MaxSourceLength = Annotated[
    int, _vocabulary(help="Longest source in ids; longer pairs are left out.")
]
MaxTargetLength = Annotated[int, _vocabulary(help="Longest target in ids, and longest output.")]
EmbeddingSize = Annotated[int, _model(help="Width of the embeddings.")]
Units = Annotated[int, _model(help="Width of memory and decoder.")]
Depth = Annotated[int, _model(help="Layers of encoder and of decoder.")]
Cell = Annotated[CellKind, _model(metavar="CELL", help="lstm, gru or layer_norm_lstm.")]
Attention = Annotated[
    AttentionKind,
    _model(
        metavar="SCORE",
        help="dot, scaled_dot, general, scaled_general, concat (Bahdanau's), normalized_concat, "
        "location, coverage or none.",
    ),
]
Probability = Annotated[
    ProbabilityKind, _model(metavar="NAME", help="softmax, sparsemax, hardmax or monotonic.")
]
InputFeeding = Annotated[
    bool, _model("--input-feeding", help="Feed what a step attended to into the next.")
]
Residual = Annotated[bool, _model("--residual", help="Residual connections between layers.")]
LayerNorm = Annotated[bool, _model("--layer-norm", help="Normalise the outputs of layers.")]
SharedEmbedding = Annotated[
    bool, _model("--shared-embedding", help="One embedding, with --shared-vocabulary.")
]
TiedEmbedding = Annotated[
    bool, _model("--tied-embedding", help="Output layer and target embedding are one matrix.")
]
SourceEmbeddings = Annotated[
    Path | None,
    _file(rich_help_panel="Model", help="word2vec or GloVe text file to begin with."),
]
TargetEmbeddings = Annotated[
    Path | None, _file(rich_help_panel="Model", help="The same for the target.")
]
Bidirectional = Annotated[bool, _model(help="Encode in both directions, or forward.")]
ReverseSource = Annotated[
    bool, _model("--reverse-source", help="Encode from the end of the source.")
]
SavedBeam = Annotated[int, _model("--beam", help="Beam width saved with the model.")]
SavedPenalty = Annotated[
    float, _model("--length-penalty", help="GNMT length penalty weight saved with it.")
]
Dropout = Annotated[float, _training(help="Share of layer inputs dropped.")]
RecurrentDropout = Annotated[
    float, _training(help="Share of the state dropped in the recurrent product.")
]
EmbeddingDropout = Annotated[float, _training(help="Share of the numbers in embeddings dropped.")]
WordDropout = Annotated[float, _training(help="Share of whole embeddings dropped.")]
TargetWordDropout = Annotated[
    float | None, _training(help="The same for what the decoder reads. Default: as the source's.")
]
SentencesPerBatch = Annotated[int | None, _training("--batch-size", help="Sentences per batch.")]
BatchTokens = Annotated[
    int | None, _training(help="In its place: ids per batch, both sides. Default: 4096.")
]
LengthMultiple = Annotated[
    int | None,
    _training(
        help="Pad lengths up to multiples of it, and rows by lengths, for compilers: few shapes. "
        "On JAX without it: up to multiples of 8 that grow with the size."
    ),
]
Epochs = Annotated[int, _training(help="Most epochs.")]
Patience = Annotated[int, _training(help="Stop after so many epochs without improvement.")]
Monitor = Annotated[
    MonitorKind,
    _training(
        metavar="VALUE",
        help="What decides which epoch is best: perplexity, or, of decoded validation text, bleu, "
        "chrf, wer, per or exact_match.",
    ),
]
MonitorSentences = Annotated[
    int, _training(help="Most validation sentences decoded after an epoch.")
]
MonitorBeam = Annotated[int, _training(help="Beam width to decode them with; 1 is greedy.")]
MonitorTokenize = Annotated[
    BleuTokenizer, _training(metavar="NAME", help="sacreBLEU's tokenizer, for --monitor bleu.")
]
KeepCheckpoints = Annotated[
    int, _training(help="Leave the translators of so many last epochs in epochs/, to average.")
]
Precision = Annotated[
    PrecisionKind,
    _training(
        metavar="NAME",
        help="float32, or bfloat16: faster with AVX-512 BF16, AMX or a GPU; saved in float32.",
    ),
]
LabelSmoothing = Annotated[
    float, _training(help="Share of each label's probability spread over the vocabulary.")
]
RDrop = Annotated[
    float,
    _training(
        metavar="ALPHA",
        help="Run each batch twice, with dropout of its own, and make both agree (R-Drop): 1 to 5.",
    ),
]
SampledSoftmax = Annotated[
    int,
    _training(
        metavar="N", help="Train on N drawn ids of a large target vocabulary; 0: on all of it."
    ),
]
LearningRate = Annotated[float, _training(help="Adam's step size, the highest if it changes.")]
LearningRateSchedule = Annotated[
    RateKind, _training(metavar="NAME", help="plateau, constant, inverse_sqrt or exponential.")
]
LearningRateDecay = Annotated[
    float,
    _training(help="Factor on it: after epochs without improvement, or every --decay-steps."),
]
DecayPatience = Annotated[int, _training(help="Of plateau: epochs without improvement before it.")]
DecaySteps = Annotated[int | None, _training(help="Of exponential: steps between factors.")]
WarmupSteps = Annotated[
    int, _training(help="Of inverse_sqrt and exponential: steps of rising from zero.")
]
WeightDecay = Annotated[
    float, _training(help="Share of the weights lost in a step, times the learning rate.")
]
MovingAverage = Annotated[
    float,
    _training(help="Momentum of a moving average of the weights, which is saved; 0 for none."),
]
ClipNorm = Annotated[float, _training(help="Largest norm of the gradients.")]
Seed = Annotated[int, _training(help="Of weights, dropout and shuffling.")]
Hosts = Annotated[
    str | None,
    _hosts(
        metavar="LIST",
        help="name:port of each host, with commas, the same on all; with KERAS_BACKEND=jax.",
    ),
]
Host = Annotated[int | None, _hosts(help="Which of them this is; 0 writes the output.")]

# Of the others.
Text = Annotated[
    Path | None,
    typer.Argument(help="Text, a sentence a line. Default, and -: standard input."),
]
NBest = Annotated[
    int | None,
    typer.Option(min=1, help="Outputs per sentence. Default: 1; of drawn ones, all."),
]
Scores = Annotated[
    bool, typer.Option("--scores", help="Put the score and a tab before each output.")
]
TestSource = Annotated[Path | None, _file("--source", help="Source, a sentence a line.")]
References = Annotated[
    list[Path] | None,
    _file("--target", help="References, line for line; may be given several times."),
]
TestData = Annotated[
    Path | None,
    _file(
        "--data",
        help="In place of the two: lines of source, tab, reference. The references of a source on "
        "several lines are all allowed.",
    ),
]
Targets = Annotated[Path | None, _file("--target", help="Targets to score, line for line.")]
ScoredData = Annotated[
    Path | None, _file("--data", help="In place of the two: lines of source, tab, target.")
]
Tokens = Annotated[bool, typer.Option("--tokens", help="Also the score of every token.")]
Models = Annotated[
    list[Path], typer.Argument(help="Translators, as for the other commands.", metavar="MODEL...")
]
KerasFile = Annotated[Path, typer.Option("--output", help="The .keras file to write.")]
ForceFile = Annotated[bool, typer.Option("--force", help="Replace the file.")]
Weights = Annotated[
    list[float] | None,
    typer.Option("--weight", help="Of each model, in their order; given as often. Default: equal."),
]
BleuTokens = Annotated[
    BleuTokenizer,
    typer.Option(
        "--tokenize", metavar="NAME", help="sacreBLEU's tokenizer; none for tokenised text."
    ),
]
Outputs = Annotated[Path | None, typer.Option("--output", help="Write the outputs to this file.")]
Picture = Annotated[Path, typer.Option("--output", help="Picture to write: .png, .svg or .pdf.")]
Formats = Annotated[
    str, typer.Option(metavar="LIST", help="Of serving, onnx and triton, with commas.")
]
ServedBeam = Annotated[
    int | None,
    typer.Option(
        "--beam", min=1, help="Hypotheses of the signature beam. Default: the model's beam, or 5."
    ),
]
Server = Annotated[
    str,
    typer.Option(
        metavar="VERSION",
        help="Oldest TensorFlow Serving to load it; operators it lacks are refused.",
    ),
]
ServingName = Annotated[
    str | None,
    typer.Option("--name", help="NAME in serving/NAME/VERSION. Default: the folder's."),
]
Version = Annotated[
    int | None, typer.Option(min=1, help="VERSION. Default: one more than the highest there is.")
]
OriginalModel = Annotated[
    Path | None,
    typer.Option("--model", help="The model that was exported, to ask Keras again as well."),
]
NewServer = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="VERSION", help="TensorFlow Serving. Default: that of the export."
    ),
]
Sentences = Annotated[Path | None, _file(help="Sentences to verify with. Default: random ones.")]
Int8References = Annotated[
    Path | None, _file("--references", help="Their references, to measure int8 by.")
]
Quantization = Annotated[
    str | None,
    typer.Option("--quantize", metavar="int8", help="Write each ONNX model in 8 bits too: int8."),
]
Int8Drop = Annotated[
    float,
    typer.Option(
        metavar="POINTS", help="BLEU or exact match that int8 may lose, 0 to 100; inf for any."
    ),
]
Constraints = Annotated[
    Path | None,
    _file(
        help="A JSON object a line for each text: prefix, forbidden, required; {} for no wishes.",
        rich_help_panel="Search",
    ),
]

# Of searches, by the names of their settings; what is not given stays as saved with the model.
_search = partial(typer.Option, rich_help_panel="Search")
SEARCH: dict[str, Any] = {
    "beam": Annotated[int | None, _search(min=1, help="Beam width; 1 is greedy.")],
    "length_penalty": Annotated[
        str | None,
        _search(
            metavar="PENALTY",
            help="A number, the weight of GNMT's; or none, gnmt, tfa, opennmt_tf, joeynmt, "
            "google_seq2seq, sockeye or marian, with arguments as in 'marian(normalize=0.7)'.",
        ),
    ],
    "coverage_penalty": Annotated[
        float | None, _search(min=0, help="Weight of GNMT's coverage penalty.")
    ],
    "stop": Annotated[
        str | None,
        _search(
            metavar="WHEN",
            help="exact: when no better output can come; first: when the first one is complete.",
        ),
    ],
    "groups": Annotated[int | None, _search(min=1, help="Diverse beam search in so many groups.")],
    "diversity": Annotated[
        float | None, _search(min=0, help="How strongly groups avoid each other's tokens.")
    ],
    "samples": Annotated[int | None, _search(min=1, help="Draw so many outputs a text.")],
    "temperature": Annotated[
        float | None, _search(help="Of draws: below 1 sharper, above 1 flatter.")
    ],
    "top_k": Annotated[int | None, _search(min=1, help="Draw from so many tokens.")],
    "top_p": Annotated[float | None, _search(help="Draw from so much of the probability.")],
    "epsilon": Annotated[float | None, _search(help="Draw from tokens at least so probable.")],
    "seed": Annotated[int | None, _search(min=0, help="Draw the same every time.")],
    "max_length": Annotated[int | None, _search(min=1, help="Longest output in ids.")],
    "min_length": Annotated[
        str | None, _search(metavar="B|A,B", help="At least B, or A·S + B, ids of an output.")
    ],
    "length_limit": Annotated[
        str | None, _search(metavar="A,B", help="At most A·S + B ids for S ids of source.")
    ],
    "allow_unknown": Annotated[
        bool | None, _search("--allow-unknown/--no-unknown", help="Whether to say unknown words.")
    ],
    "repetition_penalty": Annotated[
        float | None,
        _search(min=1, help="Factor on the log-probability of tokens that were said."),
    ],
    "no_repeat_ngram": Annotated[
        int | None, _search(min=0, help="Never say so many tokens twice; 0 for no such rule.")
    ],
}
