"""Training as one call: two text files in, a translator file out. What `keras-s2s train` runs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_s2s import folder
from keras_s2s.attention import Attention
from keras_s2s.callbacks import Checkpoint, LastEpochs, ProgressBar
from keras_s2s.corpus import Corpus
from keras_s2s.decoder import Decoder
from keras_s2s.embeddings import load_embedding
from keras_s2s.encoder import Encoder
from keras_s2s.folder import CHECKPOINT, EPOCHS, HISTORY, SETTINGS, TRANSLATOR
from keras_s2s.folder import make_room as make_room
from keras_s2s.losses import TokenCrossEntropy
from keras_s2s.model import Seq2Seq
from keras_s2s.moving_average import EvaluateMovingAverage
from keras_s2s.rates import InverseSquareRoot, WarmupExponential
from keras_s2s.reading import has_text
from keras_s2s.search import BeamSearch
from keras_s2s.settings import TrainingSettings
from keras_s2s.text import Tokenizer, train_tokenizer
from keras_s2s.translator import Translator


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        path: the saved translator, with the weights of the best epoch.
        best_epoch: the epoch with the lowest validation perplexity, from 1.
        best_perplexity: that perplexity, per target token.
        epochs: epochs run in all.
        parameters: number of weights.
        history: per epoch, the values of training and validation.
    """

    path: Path
    best_epoch: int
    best_perplexity: float
    epochs: int
    parameters: int
    history: list[dict[str, float]]


def train(
    settings: TrainingSettings,
    *,
    resume: bool = False,
    force: bool = False,
    console: Console | None = None,
) -> TrainingResult:
    """Trains a translator and writes it to `settings.output`.

    1. Read the training pairs, train the tokenizers, tokenise; filter by length. Up to here nothing
       is written, so a mistake in the data costs no earlier training.
    2. Fit a `Seq2Seq` with teacher forcing. Whenever the validation perplexity falls, write
       `translator.keras`; after every epoch write the whole state below `checkpoint/`, and with
       `keep_checkpoints` the translator below `epochs/`; all of them atomically.
    3. Stop after `patience` epochs without improvement, or after `epochs`.

    The folder then holds `translator.keras`, `settings.json` (every setting as it was used; the
    same settings give the same weights on the same machine), `history.json` and `checkpoint/`,
    which only `resume` needs. The seeds of Python, NumPy and TensorFlow are set to `settings.seed`.

    Args:
        settings: everything that decides the result.
        resume: go on after the last finished epoch in `settings.output`, to the weights that the
            run would have had without the break. All settings but `output`, `epochs`, `patience`
            and `keep_checkpoints` must be those it began with.
        force: replace an earlier training in `settings.output`.
        console: where progress is printed; standard error when omitted.

    Returns:
        A `TrainingResult`.

    Raises:
        FileExistsError: the output is a file, or holds a training, and neither `resume` nor `force`
            was given.
        ValueError: settings, text files or a state that cannot be used; the message says which.
        RuntimeError: the training diverged before it brought anything.
    """
    say = partial(
        (console or Console(stderr=True)).print, highlight=False, markup=False, soft_wrap=True
    )
    output = Path(settings.output)
    folder.check_output(dataclasses.asdict(settings), resume=resume, force=force)

    tokenizers = _saved_tokenizers(output) if resume else _trained_tokenizers(settings)
    for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        kind = getattr(settings, f"{side}_tokenizer")
        say(f"{side} vocabulary: {tokenizer.vocabulary_size:,} ids ({kind})")
    training, validation = _corpora(settings, tokenizers, say)
    plan = training.plan(
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        shuffle_seed=settings.seed,
    )
    say(f"batches: {len(plan):,} in an epoch; {plan.padding():.1%} of their ids are padding")

    plateau = settings.learning_rate_schedule == "plateau"
    checkpoint = Checkpoint(
        output / CHECKPOINT,
        # `translator` is assigned below, from the model that is trained.
        lambda: save_translator(translator, output / TRANSLATOR),
        patience=settings.patience,
        decay=settings.learning_rate_decay if plateau else 1.0,
        decay_patience=settings.decay_patience,
    )
    model = checkpoint.restore() if resume else None
    if model is not None:
        say(f"going on after epoch {checkpoint.epoch}, best perplexity {checkpoint.best:.2f}")
    else:
        if resume:
            say("no epoch was finished; starting with the first")
        keras.utils.set_random_seed(settings.seed)
        model = _model(settings, *tokenizers)
        _load_embeddings(settings, model, *tokenizers, say)
    say(f"model: {model.count_params():,} parameters")
    translator = _translator(settings, model, *tokenizers)

    if resume:
        folder.remove_leftovers(output)
    else:
        make_room(output, force)
    folder.write_json(output / SETTINGS, dataclasses.asdict(settings))
    _save_tokenizers(output, *tokenizers)

    if checkpoint.epoch < settings.epochs and not checkpoint.finished:
        bar = ProgressBar(settings.epochs, console or Console(stderr=True))
        kept = LastEpochs(
            output / EPOCHS,
            lambda path: save_translator(translator, path),
            settings.keep_checkpoints,
        )
        try:
            model.fit(
                training.dataset(
                    batch_size=settings.batch_size,
                    batch_tokens=settings.batch_tokens,
                    shuffle_seed=settings.seed,
                    first_epoch=checkpoint.epoch,
                ),
                validation_data=validation.dataset(
                    batch_size=settings.batch_size,
                    batch_tokens=settings.batch_tokens,
                    shuffle_seed=None,
                ),
                initial_epoch=checkpoint.epoch,
                epochs=settings.epochs,
                verbose=0,
                shuffle=False,  # the corpus shuffles
                callbacks=[EvaluateMovingAverage(), kept, checkpoint, bar],
            )
        finally:
            bar.close()
    else:
        say("nothing left to train: the run had ended")
    folder.write_json(output / HISTORY, checkpoint.history)
    if not checkpoint.best_epoch:
        raise RuntimeError(
            f"The training diverged: none of {checkpoint.epoch} epochs brought a finite validation "
            f"perplexity, so there is no {TRANSLATOR}. Lower `learning_rate` (it was "
            f"{settings.learning_rate}) or `clip_norm` ({settings.clip_norm})."
        )
    if math.isnan(checkpoint.history[-1][checkpoint.monitor]):
        say(f"diverged in epoch {checkpoint.epoch}; epoch {checkpoint.best_epoch} is kept")
    return TrainingResult(
        output / TRANSLATOR,
        checkpoint.best_epoch,
        checkpoint.best,
        checkpoint.epoch,
        model.count_params(),
        checkpoint.history,
    )


def save_translator(translator: Translator, path: Path) -> None:
    """Writes a translator without its optimizer; what is at `path` is replaced by a whole file.

    Args:
        translator: what to save; it is not changed.
        path: a file name that ends with `.keras`.
    """
    temporary = folder.temporary_sibling(path)
    translator.copy().save(temporary)
    temporary.replace(path)


def _trained_tokenizers(settings: TrainingSettings) -> tuple[Tokenizer, Tokenizer]:
    def lines(*sides: int) -> Iterator[str]:
        for pair in settings.pairs():
            if has_text(*pair):
                yield from (pair[side] for side in sides)

    kinds = settings.source_tokenizer, settings.target_tokenizer or settings.source_tokenizer
    sizes = settings.source_vocabulary_size, settings.target_vocabulary_size
    if settings.shared_vocabulary:
        shared = train_tokenizer(kinds[0], lines(0, 1), sizes[0])
        return shared, shared
    source, target = (train_tokenizer(kinds[i], lines(i), sizes[i]) for i in (0, 1))
    return source, target


def _save_tokenizers(output: Path, source: Tokenizer, target: Tokenizer) -> None:
    path = output / CHECKPOINT / folder.TOKENIZERS
    path.parent.mkdir(exist_ok=True)
    folder.write_json(path, [keras.saving.serialize_keras_object(t) for t in (source, target)])


def _saved_tokenizers(output: Path) -> tuple[Tokenizer, Tokenizer]:
    path = output / CHECKPOINT / folder.TOKENIZERS
    saved = json.loads(path.read_text(encoding="utf-8"))
    source, target = (keras.saving.deserialize_keras_object(config) for config in saved)
    return source, target


def _corpora(
    settings: TrainingSettings, tokenizers: tuple[Tokenizer, Tokenizer], say: Callable[[str], None]
) -> list[Corpus]:
    corpora = []
    for name, read in (("training", settings.pairs), ("validation", settings.validation_pairs)):
        corpus = Corpus(
            read(),
            *tokenizers,
            max_source_length=settings.max_source_length,
            max_target_length=settings.max_target_length,
        )
        say(f"{name}: {corpus.report}")
        corpora.append(corpus)
    return corpora


def _model(settings: TrainingSettings, source: Tokenizer, target: Tokenizer) -> Seq2Seq:
    common: dict[str, Any] = {
        name: getattr(settings, name)
        for name in (
            *("embedding_size", "depth", "cell", "residual", "layer_norm"),
            *("dropout", "recurrent_dropout", "embedding_dropout", "word_dropout"),
        )
    }
    encoder = Encoder(
        vocabulary_size=source.vocabulary_size,
        units=settings.encoder_units,
        bidirectional=settings.bidirectional,
        reverse_source=settings.reverse_source,
        name="encoder",
        **common,
    )
    attention = None
    if settings.attention != "none":
        attention = Attention(settings.attention, settings.probability, name="attention")
    decoder = Decoder(
        vocabulary_size=target.vocabulary_size,
        units=settings.units,
        attention=attention,
        attention_size=settings.embedding_size if attention and settings.tied_embedding else None,
        input_feeding=settings.input_feeding,
        tied_embedding=settings.tied_embedding,
        name="decoder",
        **common,
    )
    model = Seq2Seq(encoder, decoder, shared_embedding=settings.shared_embedding)
    model.build()
    model.compile(
        _optimizer(settings),
        TokenCrossEntropy(model.pad_id, label_smoothing=settings.label_smoothing),
    )
    return model


def _optimizer(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    rate: Any = settings.learning_rate
    if settings.learning_rate_schedule == "inverse_sqrt":
        rate = InverseSquareRoot(rate, settings.warmup_steps)
    elif settings.learning_rate_schedule == "exponential":
        rate = WarmupExponential(
            rate,
            settings.learning_rate_decay,
            settings.decay_steps or 1,  # the settings made sure that there are some
            warmup_steps=settings.warmup_steps,
        )
    return keras.optimizers.Adam(
        rate,
        weight_decay=settings.weight_decay or None,
        global_clipnorm=settings.clip_norm,
        use_ema=settings.moving_average > 0,
        ema_momentum=settings.moving_average,
    )


def _load_embeddings(
    settings: TrainingSettings,
    model: Seq2Seq,
    source: Tokenizer,
    target: Tokenizer,
    say: Callable[[str], None],
) -> None:
    for side, part, tokenizer in (
        ("source", model.encoder, source),
        ("target", model.decoder, target),
    ):
        path = getattr(settings, f"{side}_embeddings")
        if path is not None:
            tokens = tokenizer.pieces(range(tokenizer.vocabulary_size))
            found = load_embedding(part.embedding, path, tokens)
            say(f"{side} embedding: {found:,} of {len(tokens):,} ids found in {path}")


def _translator(
    settings: TrainingSettings, model: Seq2Seq, source: Tokenizer, target: Tokenizer
) -> Translator:
    search = BeamSearch(
        width=settings.beam,
        length_penalty=settings.length_penalty,
        max_length=settings.max_target_length,
    )
    return Translator(model, source, target, search, settings.max_source_length)
