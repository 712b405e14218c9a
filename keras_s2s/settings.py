"""The settings of a training run: one record, checked before anything is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from keras_s2s.consistency import check_together
from keras_s2s.ranges import (
    CHOICES,
    FILES,
    FLAGS,
    LEAST,
    RANGES,
    SUBWORD_VOCABULARY,
    AttentionKind,
    BleuTokenizer,
    CellKind,
    FilePath,
    MonitorKind,
    PrecisionKind,
    ProbabilityKind,
    RateKind,
    TokenizerKind,
    check_number,
    check_whole,
)
from keras_s2s.reading import group_references, read_pairs


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that decides the result of a training run.

    Give the text as `source` and `target` (two files, line n of one belongs to line n of the other)
    or as `data` (one file of `source<TAB>target` lines), and the validation text in the same way.

    What is None or left out is replaced by what is used, and paths by strings, so that
    `dataclasses.asdict` is a full record: `TrainingSettings(**record)` repeats the run.

    Attributes:
        output: folder that receives the translator.
        source: training source file.
        target: training target file.
        data: training TSV file, in place of `source` and `target`.
        val_source: validation source file.
        val_target: validation target file.
        val_data: validation TSV file, in place of `val_source` and `val_target`.
        source_tokenizer: 'unigram', 'bpe', 'char' or 'word'.
        target_tokenizer: the same for the target; as the source's when None.
        source_vocabulary_size: ids of the source; None is 8000 for unigram and bpe, all that occur
            for char and word.
        target_vocabulary_size: the same for the target; as the source's when None and both
            tokenizers are of one kind.
        shared_vocabulary: one tokenizer for both sides, trained on both.
        tokenizers_from: translator file whose tokenizers are taken, in place of new ones, so that
            both models can be decoded together. The settings of vocabularies must be its own; a
            size of None takes what it has.
        subword_sampling: α of `SubwordSampling`: unigram and bpe sides of the training text are
            segmented anew in every epoch. None for one segmentation.
        ids_on_disk: keep the training text as ids in the system's temporary folder (`TMPDIR`), not
            in memory: for millions of pairs.
        embedding_size: width of both embeddings.
        units: width of the decoder. The encoder's memory has it too: half in each direction when
            bidirectional.
        depth: recurrent layers of encoder and of decoder.
        cell: 'lstm', 'gru' or 'layer_norm_lstm'.
        attention: name of a score (see `Attention`), or 'none'.
        probability: 'softmax', 'sparsemax', 'hardmax' or 'monotonic'.
        input_feeding: join the attentional vector of a step to the input of the next.
        bidirectional: encode in both directions.
        reverse_source: encode from the end of the source.
        residual: add its inputs to the outputs of every layer but the first.
        layer_norm: normalise the outputs of every layer.
        shared_embedding: one embedding for both sides; with `shared_vocabulary`.
        tied_embedding: the target's embedding is the output layer's matrix too; the attentional
            vector is then as wide as the embedding.
        source_embeddings: text file of pretrained vectors, word2vec's or GloVe's, that the source
            embedding begins with.
        target_embeddings: the same for the target.
        dropout: share of the inputs of each layer dropped in training.
        recurrent_dropout: share of the state dropped where it enters the recurrent product.
        embedding_dropout: share of the numbers in each embedding dropped.
        word_dropout: share of the tokens whose whole embedding is dropped.
        target_word_dropout: the same for the tokens that the decoder reads; as the source's when
            None. The fewer of them it sees, the more it must look at the source: what it has said
            alone no longer tells what comes next (Bowman et al. 2016, §3.1).
        batch_size: sentences per batch; in place of `batch_tokens`.
        batch_tokens: ids per batch, both sides and padding counted; 4096 when neither is given.
        length_multiple: pad batches up to multiples of this many ids, and with rows of padding, so
            that they have few shapes: for a backend that compiles for each, as JAX does. None pads
            to the longest of a batch; on JAX, to one of `Hosts.share`'s sizes.
        epochs: most epochs to run.
        patience: epochs without a better `monitor` before stopping.
        monitor: what decides which epoch is the best, whose weights are kept: 'perplexity' of the
            validation text, or of its decoded outputs 'bleu', 'chrf', 'wer', 'per' or
            'exact_match'. There, the targets of a source on several lines are all allowed.
        monitor_sentences: most validation sentences that are decoded after an epoch.
        monitor_beam: width of the beam they are decoded with; 1 is greedy.
        monitor_tokenize: sacreBLEU's tokenizer for 'bleu'; 'none' for text that is tokenised.
        keep_checkpoints: number of epochs, the last ones, each of which leaves its translator in
            `epochs/`, for `average_translators`.
        precision: 'bfloat16' computes layers in half as many bits, with weights, optimizer and
            loss in float32: faster where the processor has such products (AVX-512 BF16, AMX, GPUs).
            The saved translator computes in float32 all the same.
        label_smoothing: share of each label's probability spread over the vocabulary; see
            `TokenCrossEntropy`.
        r_drop: weight α of R-Drop, which runs each batch twice and makes both passes agree; see
            `RegularizedDropout`. 0 runs it once.
        sampled_softmax: ids of the target vocabulary that a training step draws, in place of the
            whole of a large one; see `SampledTokenCrossEntropy`. 0 takes the whole.
        learning_rate: Adam's step size, the highest where it changes.
        learning_rate_schedule: 'plateau' lowers it after epochs without improvement; 'constant';
            'inverse_sqrt' and 'exponential' change it with every step, see `InverseSquareRoot` and
            `WarmupExponential`.
        learning_rate_decay: factor on it: of 'plateau', after `decay_patience` epochs without
            improvement, of 'exponential', after every `decay_steps` steps.
        decay_patience: see there.
        decay_steps: see there; 'exponential' needs it.
        warmup_steps: steps in which it rises from zero; 'inverse_sqrt' needs them, 'exponential'
            may have them.
        weight_decay: share, times the learning rate, that every weight loses in every step (AdamW,
            Loshchilov & Hutter 2019).
        moving_average: momentum of a moving average of the weights, such as 0.999; validation and
            the saved translator take the average. 0 keeps none.
        clip_norm: largest global norm of the gradients.
        max_source_length: longest source in ids, the end id counted; longer pairs are left out of
            training.
        max_target_length: the same for the target, and the longest output.
        beam: width of the beam search the translator is saved with.
        length_penalty: its GNMT length penalty weight.
        seed: of weights, dropout, shuffling.

    Raises:
        ValueError: an option that no training can have, or two that exclude each other.
        TypeError: an option of another type.
    """

    output: FilePath
    source: FilePath | None = None
    target: FilePath | None = None
    data: FilePath | None = None
    val_source: FilePath | None = None
    val_target: FilePath | None = None
    val_data: FilePath | None = None
    source_tokenizer: TokenizerKind = "unigram"
    target_tokenizer: TokenizerKind | None = None
    source_vocabulary_size: int | None = None
    target_vocabulary_size: int | None = None
    shared_vocabulary: bool = False
    tokenizers_from: FilePath | None = None
    subword_sampling: float | None = None
    ids_on_disk: bool = False
    embedding_size: int = 256
    units: int = 512
    depth: int = 1
    cell: CellKind = "gru"
    attention: AttentionKind = "general"
    probability: ProbabilityKind = "softmax"
    input_feeding: bool = False
    bidirectional: bool = True
    reverse_source: bool = False
    residual: bool = False
    layer_norm: bool = False
    shared_embedding: bool = False
    tied_embedding: bool = False
    source_embeddings: FilePath | None = None
    target_embeddings: FilePath | None = None
    dropout: float = 0.3
    recurrent_dropout: float = 0.0
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    target_word_dropout: float | None = None
    batch_size: int | None = None
    batch_tokens: int | None = None
    length_multiple: int | None = None
    epochs: int = 30
    patience: int = 5
    monitor: MonitorKind = "perplexity"
    monitor_sentences: int = 500
    monitor_beam: int = 1
    monitor_tokenize: BleuTokenizer = "13a"
    keep_checkpoints: int = 0
    precision: PrecisionKind = "float32"
    label_smoothing: float = 0.0
    r_drop: float = 0.0
    sampled_softmax: int = 0
    learning_rate: float = 1e-3
    learning_rate_schedule: RateKind = "plateau"
    learning_rate_decay: float = 0.5
    decay_patience: int = 1
    decay_steps: int | None = None
    warmup_steps: int = 0
    weight_decay: float = 0.0
    moving_average: float = 0.0
    clip_norm: float = 1.0
    max_source_length: int = 100
    max_target_length: int = 100
    beam: int = 5
    length_penalty: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._resolve_paths()
        _check_files("training", "", self.source, self.target, self.data)
        _check_files("validation", "val_", self.val_source, self.val_target, self.val_data)
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (name == "target_tokenizer" and value is None):
                raise ValueError(f"`{name}` must be one of {', '.join(choices)}; got {value!r}.")
        self._resolve()
        optional = {field.name for field in fields(self) if field.default is None}
        for name, least in LEAST.items():
            if getattr(self, name) is not None or name not in optional:
                check_whole(name, getattr(self, name), least)
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"`{name}` must be True or False; got {getattr(self, name)!r}.")
        for name, (low, high, meaning) in RANGES.items():
            if getattr(self, name) is not None or name not in optional:
                check_number(name, getattr(self, name), low, high, meaning)
        check_together(self)

    def _resolve_paths(self) -> None:
        for name in ("output", *FILES):
            path = getattr(self, name)
            if path is None and name != "output":
                continue
            if not isinstance(path, str | os.PathLike):
                raise TypeError(f"`{name}` must be a path; got {type(path).__name__}.")
            object.__setattr__(self, name, os.fspath(path))

    def _resolve(self) -> None:
        """Replaces None by what it stands for, so that the record shows what was used."""
        resolved: dict[str, Any] = {
            "target_tokenizer": self.target_tokenizer or self.source_tokenizer
        }
        if self.target_word_dropout is None:
            resolved["target_word_dropout"] = self.word_dropout
        source_size, target_size = self.source_vocabulary_size, self.target_vocabulary_size
        if source_size is None and self.source_tokenizer in ("unigram", "bpe"):
            source_size = SUBWORD_VOCABULARY
        if target_size is None:
            if resolved["target_tokenizer"] == self.source_tokenizer:
                target_size = source_size
            elif resolved["target_tokenizer"] in ("unigram", "bpe"):
                target_size = SUBWORD_VOCABULARY
        resolved["source_vocabulary_size"] = source_size
        resolved["target_vocabulary_size"] = target_size
        if self.batch_size is None and self.batch_tokens is None:
            resolved["batch_tokens"] = 4096
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    @property
    def encoder_units(self) -> int:
        """Width of one direction of the encoder."""
        return self.units // 2 if self.bidirectional else self.units

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The training pairs, read anew."""
        return read_pairs(self.source, self.target, self.data)

    def validation_references(self) -> tuple[list[str], list[list[str]]]:
        """The validation sources and their references, read anew."""
        return group_references(self.validation_pairs())

    def validation_pairs(self) -> Iterator[tuple[str, str]]:
        """The validation pairs, read anew."""
        return read_pairs(self.val_source, self.val_target, self.val_data)


def _check_files(
    what: str,
    prefix: str,
    source: FilePath | None,
    target: FilePath | None,
    data: FilePath | None,
) -> None:
    two, one = source is not None and target is not None, data is not None
    partial = (source is None) != (target is None)
    if two == one or partial:
        given = [
            f"`{prefix}{name}`"
            for name, value in (("source", source), ("target", target), ("data", data))
            if value is not None
        ]
        raise ValueError(
            f"The {what} text is two files (`{prefix}source` and `{prefix}target`) or one TSV "
            f"(`{prefix}data`); got {', '.join(given) or 'none of them'}."
        )
