"""The rules between the settings of a training that exclude or need each other."""

from __future__ import annotations

from dataclasses import fields

from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.training.settings.fields import SettingFields


def check_together(settings: SettingFields) -> None:
    """Checks that a training can have these settings together.

    Args:
        settings: settings whose values are each within their range.

    Raises:
        ValueError: If two settings exclude each other, or if a setting lacks another one that it
            needs.
    """
    _check_sizes(settings)
    _check_sampling(settings)
    _check_design(settings)
    _check_softmax(settings)
    _check_passes(settings)
    _check_rate(settings)
    _check_monitor(settings)


def _check_sizes(settings: SettingFields) -> None:
    """Raises ValueError for sizes of vocabularies, batches or units that contradict each other."""
    if settings.shared_vocabulary and (
        settings.source_tokenizer != settings.target_tokenizer
        or settings.source_vocabulary_size != settings.target_vocabulary_size
    ):
        raise ValueError(
            "A shared vocabulary is one tokenizer for both sides; got "
            f"{settings.source_tokenizer} of {settings.source_vocabulary_size} for the source and "
            f"{settings.target_tokenizer} of {settings.target_vocabulary_size} for the target."
        )
    if settings.batch_size is not None and settings.batch_tokens is not None:
        raise ValueError(
            "Batches are made by sentences (`batch_size`) or by ids (`batch_tokens`); got "
            f"batch_size={settings.batch_size} and batch_tokens={settings.batch_tokens}. Give one."
        )
    if settings.bidirectional and settings.units % 2:
        raise ValueError(
            "`units` must be even for a bidirectional encoder, which halves them; got "
            f"{settings.units}."
        )


def _check_sampling(settings: SettingFields) -> None:
    """Raises ValueError if `subword_sampling` has nothing to draw, or contradicts `ids_on_disk`."""
    kinds = {settings.source_tokenizer, settings.target_tokenizer}
    if settings.subword_sampling is not None and not kinds & {"unigram", "bpe"}:
        raise ValueError(
            "`subword_sampling` needs a unigram or bpe tokenizer; got "
            f"{settings.source_tokenizer} and {settings.target_tokenizer}."
        )
    if settings.subword_sampling is not None and settings.ids_on_disk:
        raise ValueError(
            "`subword_sampling` segments texts that are kept in memory, so `ids_on_disk` would "
            "save nothing. Leave one of the two out."
        )


def _check_design(settings: SettingFields) -> None:
    """Raises ValueError for settings of the model that contradict each other."""
    rules = [
        (
            settings.shared_embedding and not settings.shared_vocabulary,
            "`shared_embedding` needs one vocabulary for both sides: set `shared_vocabulary`.",
        ),
        (
            settings.shared_embedding and settings.target_embeddings is not None,
            "A shared embedding starts from one file: give only `source_embeddings`.",
        ),
        (
            settings.residual and settings.depth < 2,
            f"`residual` needs a `depth` of at least 2; got {settings.depth}.",
        ),
        (
            settings.attention == "none" and settings.input_feeding,
            "`input_feeding` needs attention; got attention='none'.",
        ),
        (
            settings.attention == "none" and settings.probability != "softmax",
            f"`probability` needs attention; got attention='none', {settings.probability!r}.",
        ),
        (
            settings.attention == "none"
            and settings.tied_embedding
            and settings.units != settings.embedding_size,
            "Without attention, `tied_embedding` needs `units` equal to `embedding_size`; got "
            f"{settings.units} and {settings.embedding_size}.",
        ),
    ]
    for is_broken, message in rules:
        if is_broken:
            raise ValueError(message)


def _check_softmax(settings: SettingFields) -> None:
    """Raises ValueError if `sampled_softmax` cannot draw its sample of the target vocabulary."""
    samples, size = settings.sampled_softmax, settings.target_vocabulary_size
    if samples and settings.label_smoothing:
        raise ValueError(
            "`label_smoothing` spreads probability over the whole vocabulary, but "
            f"`sampled_softmax` sees only {samples} ids of it; got label_smoothing="
            f"{settings.label_smoothing}. Leave one of the two out."
        )
    if samples and size is not None and samples >= size:
        raise ValueError(
            "`sampled_softmax` must be below the size of the target vocabulary; got "
            f"{samples} of {size}. Leave it out to train on all ids."
        )


def _check_passes(settings: SettingFields) -> None:
    """Raises ValueError if R-Drop has no two different distributions to compare."""
    if not settings.r_drop:
        return
    if settings.sampled_softmax:
        raise ValueError(
            "`r_drop` compares whole distributions, but `sampled_softmax` sees only "
            f"{settings.sampled_softmax} ids of them. Leave one of the two out."
        )
    names = (
        *("dropout", "recurrent_dropout", "embedding_dropout"),
        *("word_dropout", "target_word_dropout"),
    )
    if not any(getattr(settings, name) for name in names):
        raise ValueError(
            "`r_drop` compares two passes that differ by their dropout, and there is none; got "
            f"r_drop={settings.r_drop}. Set `dropout`, or leave `r_drop` out."
        )


def _check_rate(settings: SettingFields) -> None:
    """Raises ValueError for settings that the learning rate schedule ignores or lacks."""
    schedule = settings.learning_rate_schedule
    rules = (
        # name, whether it is given, the schedules that take it, the schedule that needs it
        (
            "warmup_steps",
            settings.warmup_steps > 0,
            ("inverse_sqrt", "exponential"),
            "inverse_sqrt",
        ),
        ("decay_steps", settings.decay_steps is not None, ("exponential",), "exponential"),
        ("decay_patience", settings.decay_patience > 1, ("plateau",), None),
    )
    for name, given, takers, needs in rules:
        if given and schedule not in takers:
            raise ValueError(
                f"`{name}` belongs to `learning_rate_schedule` {' or '.join(takers)}; got "
                f"{getattr(settings, name)} with {schedule}."
            )
        if needs == schedule and not given:
            raise ValueError(
                f"`learning_rate_schedule` {schedule} needs `{name}`, at least 1; got "
                f"{getattr(settings, name)}."
            )


def _check_monitor(settings: SettingFields) -> None:
    """Raises ValueError for decoding settings that the `monitor` does not need."""
    defaults = {field.name: field.default for field in fields(settings)}
    metric = METRICS[settings.monitor]
    tokenized = " or ".join(m.name for m in METRICS.values() if m.takes_tokenizer)
    for name, useful, needs in (
        ("monitor_sentences", metric.needs_outputs, "a decoded one"),
        ("monitor_beam", metric.needs_outputs, "a decoded one"),
        ("monitor_tokenize", metric.takes_tokenizer, tokenized),
    ):
        if not useful and getattr(settings, name) != defaults[name]:
            raise ValueError(
                f"`{name}` is for a `monitor` that is {needs}; got {getattr(settings, name)} with "
                f"{settings.monitor}."
            )
