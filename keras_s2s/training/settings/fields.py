"""Every setting of a training, declared once with its type, range, default and help.

To add a setting, add its field here. `TrainingSettings` then checks it, a recipe may give it, and
the command `train` has an option for it. `python docs/settings_table.py` lists it in the
documentation. Rules between settings are in `consistency`.
"""

# ruff: noqa: RUF009 - `setting` is `dataclasses.field` by another name.
from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from keras_s2s.training.settings.choices import (
    AttentionKind,
    BleuTokenizer,
    CellKind,
    FilePath,
    MonitorKind,
    PrecisionKind,
    ProbabilityKind,
    RateKind,
    TokenizerKind,
)
from keras_s2s.training.settings.declaration import setting

_text = partial(setting, panel="Text")
_vocabulary = partial(setting, panel="Vocabulary")
_model = partial(setting, panel="Model")
_regularization = partial(setting, panel="Regularization")
_dropped_share = partial(_regularization, least=0, below=1)
_batches = partial(setting, panel="Batches")
_epochs = partial(setting, panel="Epochs")
_optimization = partial(setting, panel="Optimization")
_search = partial(setting, panel="Saved search")
# Four ids are special, so the smallest vocabulary of five ids has one token.
_size = partial(
    _vocabulary,
    default=None,
    least=5,
    none="8000 for unigram and bpe, and everything that occurs for char and word",
    makes_vocabulary=True,
)


@dataclass(frozen=True, kw_only=True)
class SettingFields:
    """The fields of a training's settings. `TrainingSettings` adds the checks."""

    output: FilePath = setting(
        help="Folder that receives the translator and the state of its training.",
        panel="Output",
        written=True,
        may_change=True,
    )
    source: FilePath | None = _text(
        None, help="File with the training sources, one sentence on each line."
    )
    target: FilePath | None = _text(
        None, help="File with the training targets. Its line n belongs to line n of `source`."
    )
    data: FilePath | None = _text(
        None,
        help="File with the training pairs, in place of `source` and `target`. Each line holds the "
        "source, a tab and the target.",
    )
    val_source: FilePath | None = _text(
        None, help="File with the validation sources, one sentence on each line."
    )
    val_target: FilePath | None = _text(
        None,
        help="File with the validation targets. Its line n belongs to line n of `val_source`.",
    )
    val_data: FilePath | None = _text(
        None,
        help="File with the validation pairs, in place of `val_source` and `val_target`. Each line "
        "holds the source, a tab and the target.",
    )
    source_tokenizer: TokenizerKind = _vocabulary(
        "unigram", metavar="KIND", makes_vocabulary=True, help="Kind of the source tokenizer."
    )
    target_tokenizer: TokenizerKind | None = _vocabulary(
        None,
        metavar="KIND",
        none="as `source_tokenizer`",
        makes_vocabulary=True,
        help="Kind of the target tokenizer.",
    )
    source_vocabulary_size: int | None = _size(help="Number of ids of the source vocabulary.")
    target_vocabulary_size: int | None = _size(
        none="as the source if both tokenizers are of one kind; else 8000 for unigram and bpe, and "
        "everything that occurs for char and word",
        help="Number of ids of the target vocabulary.",
    )
    shared_vocabulary: bool = _vocabulary(
        False, makes_vocabulary=True, help="Train one tokenizer for both sides, on both texts."
    )
    tokenizers_from: FilePath | None = _vocabulary(
        None,
        help="Saved translator whose tokenizers are used in place of new ones, so that an ensemble "
        "can decode with both models.",
    )
    subword_sampling: float | None = _vocabulary(
        None,
        least=0,
        most=1,
        metavar="ALPHA",
        none="the same segmentation in every epoch",
        help="Segment the training text of unigram and bpe tokenizers anew in every epoch. Usual "
        "values are 0.2 to 0.5 for unigram and 0.1 for bpe.",
    )
    ids_on_disk: bool = _text(
        False,
        may_change=True,
        help="Keep the tokenised training text in the system's temporary folder (TMPDIR), not in "
        "memory. This is meant for millions of pairs.",
    )
    embedding_size: int = _model(256, least=1, help="Width of the source and target embeddings.")
    units: int = _model(
        512,
        least=1,
        help="Width of the decoder and of the encoder's outputs. Each direction of a bidirectional "
        "encoder has half this width.",
    )
    depth: int = _model(
        1, least=1, help="Number of recurrent layers in the encoder and in the decoder."
    )
    cell: CellKind = _model("gru", metavar="CELL", help="Kind of the recurrent cells.")
    attention: AttentionKind = _model(
        "general",
        metavar="SCORE",
        help="Score of the attention. concat is the score of Bahdanau et al., and none trains a "
        "decoder without attention.",
    )
    probability: ProbabilityKind = _model(
        "softmax", metavar="NAME", help="Function that turns scores into attention weights."
    )
    input_feeding: bool = _model(
        False, help="Feed the attentional vector of each decoder step into the next step."
    )
    bidirectional: bool = _model(True, help="Encode the source in both directions, not in one.")
    reverse_source: bool = _model(False, help="Encode the source from its end to its start.")
    residual: bool = _model(
        False, help="Add the inputs of every recurrent layer except the first to its outputs."
    )
    layer_norm: bool = _model(False, help="Normalise the outputs of every recurrent layer.")
    shared_embedding: bool = _model(
        False, help="Use one embedding for both sides, which needs `shared_vocabulary`."
    )
    tied_embedding: bool = _model(
        False, help="Use the matrix of the target embedding for the output layer too."
    )
    source_embeddings: FilePath | None = _model(
        None,
        help="Text file of pretrained word vectors, of word2vec or GloVe, that the source "
        "embedding starts from.",
    )
    target_embeddings: FilePath | None = _model(
        None,
        help="Text file of pretrained word vectors, of word2vec or GloVe, that the target "
        "embedding starts from.",
    )
    dropout: float = _dropped_share(
        0.3, help="Share of the inputs of each layer that training drops."
    )
    recurrent_dropout: float = _dropped_share(
        0.0, help="Share of the recurrent state that training drops before each step's product."
    )
    embedding_dropout: float = _dropped_share(
        0.0, help="Share of the numbers in each embedding that training drops."
    )
    word_dropout: float = _dropped_share(
        0.0, help="Share of the source tokens whose whole embedding training drops."
    )
    target_word_dropout: float | None = _dropped_share(
        None,
        none="as `word_dropout`",
        help="Share of the target tokens whose whole embedding training drops before the decoder "
        "reads them.",
    )
    batch_size: int | None = _batches(
        None, least=1, help="Number of sentences in a batch, in place of `batch_tokens`."
    )
    batch_tokens: int | None = _batches(
        None,
        least=1,
        none="4096 without `batch_size`",
        help="Largest number of ids in a batch, with both sides and their padding counted.",
    )
    length_multiple: int | None = _batches(
        None,
        least=1,
        none="the longest length of each batch; on JAX, multiples of 8 that grow with the length",
        help="Pad the lengths of a batch up to multiples of this number, and add rows of padding, "
        "so that a backend that compiles every shape meets only few shapes.",
    )
    epochs: int = _epochs(30, least=1, may_change=True, help="Largest number of epochs.")
    patience: int = _epochs(
        5,
        least=1,
        may_change=True,
        help="Number of epochs without a better `monitor` after which training stops.",
    )
    monitor: MonitorKind = _epochs(
        "perplexity",
        metavar="VALUE",
        help="Value of the validation text that decides which epoch's weights are saved. All "
        "values but perplexity compare decoded outputs with the targets.",
    )
    monitor_sentences: int = _epochs(
        500, least=1, help="Largest number of validation sources to decode after each epoch."
    )
    monitor_beam: int = _epochs(
        1,
        least=1,
        help="Width of the beam search that decodes validation sources. 1 is greedy search.",
    )
    monitor_tokenize: BleuTokenizer = _epochs(
        "13a",
        metavar="NAME",
        help="Tokenizer with which sacreBLEU computes the `monitor` bleu. none is for text that is "
        "tokenised already.",
    )
    keep_checkpoints: int = _epochs(
        0,
        least=0,
        may_change=True,
        help="Number of last epochs whose translators are kept in epochs/, to be averaged.",
    )
    precision: PrecisionKind = _optimization(
        "float32",
        metavar="NAME",
        help="Number format in which layers compute. bfloat16 is faster with AVX-512 BF16, AMX or "
        "a GPU. The saved translator always computes in float32.",
    )
    label_smoothing: float = _regularization(
        0.0,
        least=0,
        below=1,
        help="Share of each label's probability that is spread over the vocabulary.",
    )
    r_drop: float = _regularization(
        0.0,
        least=0,
        metavar="ALPHA",
        help="Weight of R-Drop, which runs each batch twice with different dropout and makes both "
        "passes agree. Usual values are 1 to 5, and 0 runs each batch once.",
    )
    sampled_softmax: int = _optimization(
        0,
        least=0,
        metavar="N",
        help="Number of ids that each training step draws from a large target vocabulary. 0 "
        "computes with the whole vocabulary.",
    )
    learning_rate: float = _optimization(
        1e-3, above=0, help="Learning rate of Adam, or the highest rate if a schedule changes it."
    )
    learning_rate_schedule: RateKind = _optimization(
        "plateau",
        metavar="NAME",
        help="Schedule of the learning rate. plateau lowers the rate after epochs without "
        "improvement, constant keeps it, and inverse_sqrt and exponential change it in every step.",
    )
    learning_rate_decay: float = _optimization(
        0.5,
        above=0,
        most=1,
        help="Factor by which the schedules plateau and exponential lower the learning rate.",
    )
    decay_patience: int = _optimization(
        1,
        least=1,
        help="Number of epochs without improvement before the plateau schedule lowers the learning "
        "rate.",
    )
    decay_steps: int | None = _optimization(
        None,
        least=1,
        help="Number of steps in which the exponential schedule lowers the learning rate by "
        "`learning_rate_decay`. This schedule needs it.",
    )
    warmup_steps: int = _optimization(
        0,
        least=0,
        help="Number of steps in which the learning rate rises from zero. The schedule "
        "inverse_sqrt needs it, and exponential may have it.",
    )
    weight_decay: float = _regularization(
        0.0,
        least=0,
        help="Weight decay of AdamW, which takes this share of every weight, times the learning "
        "rate, away in each step.",
    )
    moving_average: float = _optimization(
        0.0,
        least=0,
        below=1,
        help="Momentum of a moving average of the weights, such as 0.999. Validation and the saved "
        "translator take the average. 0 keeps no average.",
    )
    clip_norm: float = _optimization(
        1.0, above=0, help="Largest global norm of the gradients. Longer gradients are scaled down."
    )
    max_source_length: int = _text(
        100,
        least=2,
        help="Number of ids in the longest source, end id included. Training leaves out longer "
        "pairs.",
    )
    max_target_length: int = _text(
        100,
        least=2,
        help="Number of ids in the longest target and the longest output, end id included. "
        "Training leaves out longer pairs.",
    )
    beam: int = _search(
        5, least=1, help="Width of the beam search that is saved with the translator."
    )
    length_penalty: float = _search(
        1.0,
        least=0,
        below=100,
        help="Weight of GNMT's length penalty in the search that is saved with the translator.",
    )
    seed: int = _optimization(
        1,
        least=0,
        below=2**32,
        help="Seed of the initial weights, of dropout and of shuffling.",
    )
