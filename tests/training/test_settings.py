import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from keras_s2s.cli.training_options import parameters
from keras_s2s.training.settings.declaration import Setting, declared, documented, setting
from keras_s2s.training.settings.settings import FILES as FILES_TO_READ
from keras_s2s.training.settings.settings import VOCABULARY, TrainingSettings

FILES = {"output": "out", "data": "train.tsv", "val_data": "val.tsv"}


def made(**given: Any) -> TrainingSettings:
    return TrainingSettings(**{**FILES, **given})


def test_record_makes_the_same_settings_again() -> None:
    first = made(source_tokenizer="bpe", target_tokenizer="char", units=8, batch_size=3)
    record = json.loads(json.dumps(dataclasses.asdict(first)))

    assert TrainingSettings(**record) == first


def test_paths_are_recorded_as_strings() -> None:
    paths = {name: Path(value) for name, value in FILES.items()}

    assert made(**paths) == made()
    assert made(**paths).data == "train.tsv"


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({}, ("unigram", "unigram", 8000, 8000)),
        ({"source_tokenizer": "char"}, ("char", "char", None, None)),
        ({"source_tokenizer": "char", "target_tokenizer": "bpe"}, ("char", "bpe", None, 8000)),
        ({"source_vocabulary_size": 500}, ("unigram", "unigram", 500, 500)),
        (
            {"source_vocabulary_size": 500, "target_tokenizer": "bpe"},
            ("unigram", "bpe", 500, 8000),
        ),
        (
            {"source_vocabulary_size": 500, "target_tokenizer": "word"},
            ("unigram", "word", 500, None),
        ),
        ({"target_vocabulary_size": 700}, ("unigram", "unigram", 8000, 700)),
    ],
)
def test_what_is_left_out_is_resolved(given: dict[str, Any], resolved: tuple[Any, ...]) -> None:
    found = made(**given)

    assert resolved == (
        found.source_tokenizer,
        found.target_tokenizer,
        found.source_vocabulary_size,
        found.target_vocabulary_size,
    )


def test_batches_are_of_4096_ids_unless_said_otherwise() -> None:
    assert (made().batch_size, made().batch_tokens) == (None, 4096)
    assert (made(batch_size=7).batch_size, made(batch_size=7).batch_tokens) == (7, None)


def test_the_decoder_drops_as_many_words_as_the_encoder_unless_said_otherwise() -> None:
    assert made(word_dropout=0.1).target_word_dropout == 0.1
    assert made(word_dropout=0.1, target_word_dropout=0.0).target_word_dropout == 0.0
    made(r_drop=5.0, dropout=0.0, target_word_dropout=0.1)  # is dropout enough


def test_each_direction_of_the_encoder_has_half_the_units() -> None:
    assert made(units=10).encoder_units == 5
    assert made(units=11, bidirectional=False).encoder_units == 11


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source_tokenizer": "letters"}, "`source_tokenizer` must be one of unigram, bpe, char"),
        ({"target_tokenizer": "letters"}, "`target_tokenizer` must be one of .*; got 'letters'"),
        ({"cell": "rnn"}, "`cell` must be one of lstm, gru, layer_norm_lstm; got 'rnn'"),
        ({"attention": "luong"}, "`attention` must be one of dot, .*general, .*concat, .*none"),
        ({"attention": None}, "`attention` must be one of"),
        ({"units": 5}, "`units` must be even for a bidirectional encoder.*; got 5"),
        ({"units": 0}, "`units` must be at least 1; got 0"),
        ({"source_vocabulary_size": 4}, "`source_vocabulary_size` must be at least 5; got 4"),
        ({"target_vocabulary_size": 4}, "`target_vocabulary_size` must be at least 5; got 4"),
        ({"embedding_size": 0}, "`embedding_size` must be at least 1"),
        ({"depth": 0}, "`depth` must be at least 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"batch_tokens": -1}, "`batch_tokens` must be at least 1"),
        ({"length_multiple": 0}, "`length_multiple` must be at least 1; got 0"),
        ({"batch_size": 2, "batch_tokens": 3}, "batch_size=2 and batch_tokens=3. Give one"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"keep_checkpoints": -1}, "`keep_checkpoints` must be at least 0"),
        ({"patience": 0}, "`patience` must be at least 1"),
        ({"max_source_length": 1}, "`max_source_length` must be at least 2"),
        ({"max_target_length": 1}, "`max_target_length` must be at least 2"),
        ({"beam": 0}, "`beam` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"seed": 2**32}, "`seed` must be at least 0 and below 2³²"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1; got 1.0"),
        ({"dropout": -0.1}, "`dropout` must be at least 0"),
        ({"target_word_dropout": 1.0}, "`target_word_dropout` must be at least 0 and below 1"),
        ({"dropout": float("nan")}, "`dropout` must be at least 0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be above 0 and finite"),
        ({"learning_rate": 10**400}, "`learning_rate` must be above 0 and finite"),
        ({"learning_rate_decay": 0.0}, "`learning_rate_decay` must be above 0 and at most 1"),
        ({"learning_rate_decay": 1.1}, "`learning_rate_decay` must be above 0 and at most 1"),
        ({"clip_norm": 0.0}, "`clip_norm` must be above 0"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be at least 0 and below 1; got 1.0"),
        ({"sampled_softmax": -1}, "`sampled_softmax` must be at least 0; got -1"),
        (
            {"sampled_softmax": 8000},
            "`sampled_softmax` must be below .* vocabulary; got 8000 of",
        ),
        (
            {"sampled_softmax": 50, "label_smoothing": 0.1},
            "`sampled_softmax` sees only 50 ids of it; got label_smoothing=0.1. Leave one",
        ),
        ({"r_drop": -1.0}, "`r_drop` must be at least 0"),
        (
            {"r_drop": 5.0, "dropout": 0.0},
            "`r_drop` compares .* there is none; got r_drop=5.0. Set `dropout`",
        ),
        (
            {"r_drop": 5.0, "sampled_softmax": 50},
            "`sampled_softmax` sees only 50 ids of them. Leave one",
        ),
        ({"weight_decay": -1.0}, "`weight_decay` must be at least 0"),
        ({"moving_average": 1.0}, "`moving_average` must be at least 0 and below 1"),
        ({"subword_sampling": 1.5}, "`subword_sampling` must be at least 0 and at most 1"),
        ({"subword_sampling": 0.1, "ids_on_disk": True}, "`ids_on_disk` would save nothing"),
        (
            {"subword_sampling": 0.1, "source_tokenizer": "char"},
            "`subword_sampling` needs a unigram or bpe tokenizer; got char and char",
        ),
        ({"monitor": "loss"}, "`monitor` must be one of perplexity, bleu, chrf, wer, per, exact"),
        ({"monitor": "bleu", "monitor_tokenize": "words"}, "`monitor_tokenize` must be one of 13a"),
        ({"monitor": "wer", "monitor_sentences": 0}, "`monitor_sentences` must be at least 1"),
        ({"monitor_beam": 3}, "`monitor_beam` is for a `monitor` that is a decoded one; got 3"),
        (
            {"monitor": "wer", "monitor_tokenize": "none"},
            "`monitor_tokenize` is for a `monitor` that is bleu; got none with wer",
        ),
        ({"learning_rate_schedule": "cosine"}, "`learning_rate_schedule` must be one of plateau,"),
        ({"learning_rate_schedule": "inverse_sqrt"}, "inverse_sqrt needs `warmup_steps`.*got 0"),
        ({"learning_rate_schedule": "exponential"}, "exponential needs `decay_steps`.*got None"),
        ({"warmup_steps": 5}, "`warmup_steps` belongs to .* inverse_sqrt or exponential; got 5"),
        ({"decay_steps": 5}, "`decay_steps` belongs to .* exponential; got 5 with plateau"),
        (
            {"decay_patience": 2, "learning_rate_schedule": "constant"},
            "`decay_patience` belongs to .* plateau; got 2 with constant",
        ),
        ({"length_penalty": -0.5}, "`length_penalty` must be at least 0"),
        ({"length_penalty": 100.0}, "`length_penalty` must be at least 0 and below 100"),
        (
            {"shared_vocabulary": True, "target_tokenizer": "bpe"},
            "one tokenizer for both sides; got unigram of 8000 for the source and bpe of 8000",
        ),
        (
            {"shared_vocabulary": True, "target_vocabulary_size": 90},
            "one tokenizer for both sides; got unigram of 8000 .* unigram of 90",
        ),
        ({"data": None}, "training text is two files .*; got none of these files"),
        ({"data": None, "source": "a"}, r"`data`\); got `source`\."),
        ({"source": "a", "target": "b"}, "got `source`, `target`, `data`"),
        ({"source": "a"}, "got `source`, `data`"),
        ({"val_data": None}, "validation text is two files .*`val_source` and `val_target`"),
        ({"val_data": None, "val_target": "b"}, "got `val_target`"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"units": "8"}, "`units` must be a whole number; got '8'"),
        ({"units": 8.0}, "`units` must be a whole number; got 8.0"),
        ({"epochs": True}, "`epochs` must be a whole number; got True"),
        ({"seed": None}, "`seed` must be a whole number; got None"),
        ({"dropout": "0.1"}, "`dropout` must be a number; got '0.1'"),
        ({"clip_norm": None}, "`clip_norm` must be a number; got None"),
        ({"bidirectional": 1}, "`bidirectional` must be True or False; got 1"),
        ({"shared_vocabulary": "no"}, "`shared_vocabulary` must be True or False"),
        ({"data": 3}, "`data` must be a path; got int"),
        ({"output": None}, "`output` must be a path; got NoneType"),
    ],
)
def test_settings_of_another_type_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        made(**given)


SETTINGS = declared(TrainingSettings)
each_setting = pytest.mark.parametrize("declaration", SETTINGS.values(), ids=SETTINGS)


def test_every_field_declares_a_setting() -> None:
    assert [*SETTINGS] == [field.name for field in dataclasses.fields(TrainingSettings)]


@each_setting
def test_every_setting_is_checked(declaration: Setting) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^`{declaration.name}` must be "):
        made(**{declaration.name: object()})


@pytest.mark.parametrize(
    "declaration",
    [each for each in SETTINGS.values() if each.type in (int, float)],
    ids=lambda each: each.name,
)
def test_every_number_has_a_range_and_its_limits_are_those_of_its_message(
    declaration: Setting,
) -> None:
    whole = declaration.type is int
    assert (declaration.least is None) != (declaration.above is None)
    for lowest, step in ((declaration.least, 1), (declaration.above, 0)):
        if lowest is not None:
            with pytest.raises(ValueError, match=f"must be {declaration.range}; got"):
                declaration.checked(lowest - step)
            assert declaration.checked(lowest + 1 - step) is not None
    for highest, step in ((declaration.most, 1), (declaration.below, 0)):
        if highest is not None:
            with pytest.raises(ValueError, match=f"must be {declaration.range}; got"):
                declaration.checked(highest + step)
            assert declaration.checked(highest - (1 - step) * (1 if whole else 1e-9)) is not None
    with pytest.raises((TypeError, ValueError)):
        declaration.checked(float("nan"))


@each_setting
def test_every_default_is_a_value_that_the_setting_may_have(declaration: Setting) -> None:
    if declaration.default is not dataclasses.MISSING:
        assert declaration.checked(declaration.default) == declaration.default


@each_setting
def test_every_setting_has_a_sentence_of_help_and_a_panel(declaration: Setting) -> None:
    assert re.fullmatch(r"[A-Z].{15,}[^. ]\.", declaration.help)
    assert declaration.panel
    for text in (declaration.help, declaration.none or ""):
        assert set(re.findall(r"`(\w+)`", text)) <= set(SETTINGS) - {declaration.name}
    # What None stands for is said of settings that may be None, of no others.
    assert declaration.none is None or (declaration.optional and declaration.default is None)


def test_docstring_has_the_help_of_every_setting() -> None:
    documentation = " ".join((TrainingSettings.__doc__ or "").split())
    for declaration in SETTINGS.values():
        assert f"{declaration.name}: {declaration.help}" in documentation


def test_files_to_read_and_settings_of_vocabularies_are_asked_of_the_fields() -> None:
    assert FILES_TO_READ == (
        *("source", "target", "data", "val_source", "val_target", "val_data"),
        *("tokenizers_from", "source_embeddings", "target_embeddings"),
    )
    assert VOCABULARY == (
        *("source_tokenizer", "target_tokenizer"),
        *("source_vocabulary_size", "target_vocabulary_size", "shared_vocabulary"),
    )


@documented
@dataclasses.dataclass(frozen=True, kw_only=True)
class Extended(TrainingSettings):
    """One setting more."""

    gain: float = setting(1.0, above=0, most=9, help="Gain of every cell.", panel="Model")


def test_a_new_setting_needs_one_field_alone() -> None:
    with pytest.raises(ValueError, match=r"^`gain` must be above 0 and at most 9; got 0\.$"):
        Extended(**FILES, gain=0)
    with pytest.raises(TypeError, match=r"^`gain` must be a number; got 'much'\.$"):
        Extended(**FILES, gain="much")
    assert Extended(**FILES, gain=2).gain == 2
    (option,) = (each for each in parameters(Extended) if each.name == "gain")
    kind, info = get_args(option.annotation)
    assert (option.default, kind) == (1.0, float)
    assert (info.help, info.rich_help_panel) == ("Gain of every cell.", "Model")
    assert "gain: Gain of every cell." in (Extended.__doc__ or "")


def test_page_of_settings_lists_every_setting() -> None:
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("settings_table", root / "docs/settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    page = written.PAGE.read_text(encoding="utf-8")

    for declaration in SETTINGS.values():
        assert re.search(rf"^\| `{declaration.name}` \| .* \| .* \| .*\. \|$", page, re.MULTILINE)
    assert page == written.page(), "run: python docs/settings_table.py"


def test_choices_are_those_of_the_modules_that_own_them() -> None:
    from keras_s2s.evaluation.metrics import METRICS
    from keras_s2s.layers.attention import PROBABILITIES, SCORES
    from keras_s2s.layers.recurrent import CELLS
    from keras_s2s.text import trainer

    assert set(SETTINGS["source_tokenizer"].choices) == set(get_args(trainer.Kind))
    assert set(SETTINGS["cell"].choices) == set(CELLS)
    assert SETTINGS["monitor"].choices == tuple(METRICS)
    assert set(SETTINGS["attention"].choices) == {*SCORES, "none"}
    assert set(SETTINGS["probability"].choices) == set(PROBABILITIES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shared_embedding": True}, "set `shared_vocabulary`"),
        (
            {"shared_embedding": True, "shared_vocabulary": True, "target_embeddings": "x"},
            "give only `source_embeddings`",
        ),
        ({"residual": True}, "`depth` of at least 2; got 1"),
        ({"attention": "none", "input_feeding": True}, "`input_feeding` needs attention"),
        ({"attention": "none", "probability": "hardmax"}, "`probability` needs attention.*hardmax"),
        ({"attention": "none", "tied_embedding": True}, "got 512 and 256"),
    ],
)
def test_designs_that_contradict_themselves_are_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        made(**given)
