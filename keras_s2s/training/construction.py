"""Makes the parts of a training from its settings: tokenizers, model, optimizer, translator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_s2s.data.reading import has_text
from keras_s2s.data.word_vectors import load_embedding
from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.evaluation.validation import DECODED_METRICS, DecodedMetric, DecodedValidation
from keras_s2s.layers.attention import Attention
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.models.precision import POLICIES
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.optimization.adam import FusedAdam
from keras_s2s.optimization.learning_rates import InverseSquareRoot, WarmupExponential
from keras_s2s.optimization.losses import SampledTokenCrossEntropy, TokenCrossEntropy
from keras_s2s.optimization.regularized_dropout import RegularizedDropout
from keras_s2s.search import BeamSearch
from keras_s2s.text import SubwordSampling, Tokenizer, train_tokenizer
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.translator import Translator


def make_tokenizers(settings: TrainingSettings) -> tuple[Tokenizer, Tokenizer]:
    """Makes the tokenizers of source and target, or takes them from a translator.

    Args:
        settings: settings of the training. `tokenizers_from` names the translator. Without it, the
            tokenizers are trained on the training text.

    Returns:
        The source and the target tokenizer, which are one and the same if `shared_vocabulary` is
        set.

    Raises:
        ValueError: If the tokenizers of the translator are not those that the settings describe.
    """
    if settings.tokenizers_from is not None:
        return _tokenizers_of(settings, load_translator(settings.tokenizers_from))

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


def _tokenizers_of(
    settings: TrainingSettings, translator: Translator
) -> tuple[Tokenizer, Tokenizer]:
    """Returns a translator's tokenizers, or raises ValueError if the settings describe others."""
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        kind = getattr(settings, f"{side}_tokenizer")
        size = getattr(settings, f"{side}_vocabulary_size")
        if tokenizer.kind != kind or size not in (None, tokenizer.vocabulary_size):
            raise ValueError(
                f"The {side} tokenizer of `{settings.tokenizers_from}` is {tokenizer.kind} with "
                f"{tokenizer.vocabulary_size} ids; `{side}_tokenizer` and `{side}_vocabulary_size` "
                f"say {kind} with {'all' if size is None else size}. Set both to match the "
                "translator."
            )
    if not settings.shared_vocabulary:
        return tokenizers
    if tokenizers[0] != tokenizers[1]:
        raise ValueError(
            f"`{settings.tokenizers_from}` has a tokenizer for each side, and `shared_vocabulary` "
            "asks for one. Leave it out."
        )
    return tokenizers[0], tokenizers[0]


def samplings(settings: TrainingSettings) -> dict[str, Any]:
    """Returns the subword sampling of each side of the training text, as arguments of `Corpus`."""
    sampling = None
    if settings.subword_sampling is not None:
        sampling = SubwordSampling(settings.subword_sampling)
    return {
        f"{side}_sampling": sampling
        if getattr(settings, f"{side}_tokenizer") in ("unigram", "bpe")
        else None
        for side in ("source", "target")
    }


def make_model(settings: TrainingSettings, source: Tokenizer, target: Tokenizer) -> Seq2Seq:
    """Makes a built and compiled model, whose initial weights come from Keras' global seed."""
    source_scale, target_scale = _embedding_scales(settings)
    model = Seq2Seq(
        _encoder(settings, source.vocabulary_size, source_scale),
        _decoder(settings, target.vocabulary_size, target_scale),
        shared_embedding=settings.shared_embedding,
        dtype=POLICIES[settings.precision],
    )
    model.build()
    model.compile(_optimizer(settings), _loss(settings, model.pad_id))
    return model


def _embedding_scales(settings: TrainingSettings) -> tuple[float, float]:
    """Returns the factors that give new embeddings a variance of one and keep pretrained ones."""
    scale = settings.embedding_size**0.5
    source = 1.0 if settings.source_embeddings else scale
    target = 1.0 if settings.target_embeddings else scale
    if settings.shared_embedding:
        source = target = min(source, target)
    return source, target


def _encoder(settings: TrainingSettings, vocabulary_size: int, embedding_scale: float) -> Encoder:
    return Encoder(
        vocabulary_size=vocabulary_size,
        units=settings.encoder_units,
        bidirectional=settings.bidirectional,
        reverse_source=settings.reverse_source,
        embedding_scale=embedding_scale,
        word_dropout=settings.word_dropout,
        name="encoder",
        **_common_options(settings),
    )


def _decoder(settings: TrainingSettings, vocabulary_size: int, embedding_scale: float) -> Decoder:
    attention = None
    if settings.attention != "none":
        attention = Attention(
            settings.attention,
            settings.probability,
            dtype=POLICIES[settings.precision],
            name="attention",
        )
    return Decoder(
        vocabulary_size=vocabulary_size,
        units=settings.units,
        attention=attention,
        attention_size=settings.embedding_size if attention and settings.tied_embedding else None,
        input_feeding=settings.input_feeding,
        tied_embedding=settings.tied_embedding,
        embedding_scale=embedding_scale,
        word_dropout=settings.target_word_dropout or 0.0,
        name="decoder",
        **_common_options(settings),
    )


def _common_options(settings: TrainingSettings) -> dict[str, Any]:
    """Returns the options that the encoder and the decoder have in common."""
    names = (
        *("embedding_size", "depth", "cell", "residual", "layer_norm"),
        *("dropout", "recurrent_dropout", "embedding_dropout"),
    )
    dtype = POLICIES[settings.precision]
    return {"dtype": dtype, **{name: getattr(settings, name) for name in names}}


def _loss(settings: TrainingSettings, pad_id: int) -> TokenCrossEntropy:
    for name in ("sampled_softmax", "r_drop"):
        if getattr(settings, name) and keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"`{name}` needs Keras' TensorFlow backend; this is {keras.backend.backend()}. "
                "Set KERAS_BACKEND=tensorflow, or leave it out."
            )
    smoothing = settings.label_smoothing
    if settings.sampled_softmax:
        return SampledTokenCrossEntropy(settings.sampled_softmax, pad_id=pad_id, seed=settings.seed)
    if settings.r_drop:
        return RegularizedDropout(settings.r_drop, pad_id, label_smoothing=smoothing)
    return TokenCrossEntropy(pad_id, label_smoothing=smoothing)


def _optimizer(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    rate: Any = settings.learning_rate
    if settings.learning_rate_schedule == "inverse_sqrt":
        rate = InverseSquareRoot(rate, settings.warmup_steps)
    elif settings.learning_rate_schedule == "exponential":
        rate = WarmupExponential(
            rate,
            settings.learning_rate_decay,
            settings.decay_steps or 1,  # `check_together` has refused None
            warmup_steps=settings.warmup_steps,
        )
    return FusedAdam(
        rate,
        weight_decay=settings.weight_decay or None,
        global_clipnorm=settings.clip_norm,
        use_ema=settings.moving_average > 0,
        ema_momentum=settings.moving_average,
    )


def load_embeddings(
    settings: TrainingSettings,
    model: Seq2Seq,
    source: Tokenizer,
    target: Tokenizer,
    say: Callable[[str], None],
) -> None:
    """Loads pretrained vectors into the embeddings for which the settings name a file."""
    for side, part, tokenizer in (
        ("source", model.encoder, source),
        ("target", model.decoder, target),
    ):
        path = getattr(settings, f"{side}_embeddings")
        if path is not None:
            tokens = tokenizer.pieces(range(tokenizer.vocabulary_size))
            count = load_embedding(part.embedding, path, tokens)
            say(f"{side} embedding: {count:,} of {len(tokens):,} ids found in {path}")


def make_translator(
    settings: TrainingSettings, model: Seq2Seq, source: Tokenizer, target: Tokenizer
) -> Translator:
    """Makes the translator around a model, with the search that its file will hold."""
    search = _search(settings, settings.beam)
    return Translator(model, source, target, search, settings.max_source_length)


def _search(settings: TrainingSettings, width: int) -> BeamSearch:
    return BeamSearch(
        width=width,
        length_penalty=settings.length_penalty,
        max_length=settings.max_target_length,
    )


def decoded_metrics(
    settings: TrainingSettings, translator: Translator, say: Callable[[str], None]
) -> list[DecodedMetric]:
    """Makes the metric of decoded outputs that chooses the best epoch, if `monitor` names one.

    Args:
        settings: settings of the training.
        translator: translator that decodes the validation sources.
        say: function that prints a line.

    Returns:
        A list of one callback, or an empty list for a `monitor` that needs no decoding.
    """
    metric = METRICS[settings.monitor]
    if not metric.needs_outputs:
        return []
    validation = DecodedValidation(
        translator,
        *settings.validation_references(),
        max_sentences=settings.monitor_sentences,
        search=_search(settings, settings.monitor_beam),
    )
    count = len(validation.sources)
    say(f"after each epoch {count:,} validation sources are decoded for {settings.monitor}")
    options = {"tokenize": settings.monitor_tokenize} if metric.takes_tokenizer else {}
    return [DECODED_METRICS[metric.name](validation, **options)]
