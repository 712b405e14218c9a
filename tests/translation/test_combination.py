"""Joined translators have the mean of the weights, as in NumPy; tests of what cannot be joined."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_s2s.search import GreedySearch
from keras_s2s.translation import combination
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.combination import average_translators, ensemble_translators
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator


def made(seed: int = 1, **given: Any) -> Translator:
    return tiny_translator("char", "word", seed=seed, **{"cell": "gru", **given})


@pytest.fixture(scope="module")
def three() -> list[Translator]:
    return [made(seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def files(three: list[Translator], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{number}.keras" for number in range(3)]
    for translator, path in zip(three, paths, strict=True):
        translator.save(path)
    return paths


@pytest.mark.parametrize("weights", [None, [1, 5, 2]])
def test_every_variable_is_the_mean(
    three: list[Translator], files: list[Path], weights: list[float] | None
) -> None:
    shares = np.array(weights or [1, 1, 1]) / sum(weights or [1, 1, 1])
    found = average_translators(files, weights)

    each = [translator.model.get_weights() for translator in three]
    for value, *theirs in zip(found.model.get_weights(), *each, strict=True):
        expected = sum(s * v.astype("float64") for s, v in zip(shares, theirs, strict=True))
        # One rounding to float32.
        np.testing.assert_allclose(value, expected, rtol=1e-7)


def test_average_of_copies_is_the_translator(three: list[Translator]) -> None:
    given = three[0]
    found = average_translators([given, given.copy(), given.copy()])

    assert found.translate(texts(5))[0][0].ids == given.translate(texts(5))[0][0].ids
    for ours, theirs in zip(found.get_weights(), given.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_translators_given_do_not_change(three: list[Translator]) -> None:
    before = [np.array(value) for value in three[0].get_weights()]
    found = average_translators(three)
    found.model.set_weights([0 * value for value in found.model.get_weights()])

    for ours, theirs in zip(three[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_settings_are_those_of_the_first(three: list[Translator]) -> None:
    first = three[0].copy()
    first.search = GreedySearch(7)
    found = average_translators([first, three[1]])

    assert isinstance(found.search, GreedySearch)
    assert found.max_source_length == first.max_source_length
    assert found.target_tokenizer == first.target_tokenizer


@pytest.mark.thorough
def test_files_are_read_one_after_the_other(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[Any] = []
    load = combination.load_translator

    def counting(path: Any) -> Translator:
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 2  # the first, the last
        translator = load(path)
        alive.append(weakref.ref(translator))
        return translator

    monkeypatch.setattr(combination, "load_translator", counting)
    average_translators([*files, *files])
    assert len(alive) == 6


def test_average_is_saved_like_any_translator(three: list[Translator], tmp_path: Path) -> None:
    found = average_translators(three)
    found.save(tmp_path / "a.keras")

    assert load_translator(tmp_path / "a.keras")(texts(5)) == found(texts(5))


def test_options_of_training_may_differ(three: list[Translator]) -> None:
    other = made(2, dropout=0.3, encoder={"word_dropout": 0.1})
    average_translators([three[0], other])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": 2}, r"model\.encoder\.depth is 1 in translator 1 and 2 in translator 2"),
        ({"cell": "lstm"}, r"model\.encoder\.cell is 'gru' .* 'lstm'"),
        ({"input_feeding": True}, r"model\.decoder\.input_feeding is False .* True"),
        ({"attention": "dot"}, r"model\.decoder\.attention.* translator 1 and .* translator 2"),
        ({"encoder": {"bidirectional": False}}, r"model\.encoder\.bidirectional is True"),
    ],
)
def test_other_designs_are_refused(
    three: list[Translator], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        average_translators([three[0], made(**given)])


def test_other_tokenizers_are_refused(three: list[Translator], files: list[Path]) -> None:
    one = three[0]
    words = one.target_tokenizer
    stranger = Translator(
        one.model, one.source_tokenizer, type(words)([w.upper() for w in words.vocabulary])
    )
    with pytest.raises(ValueError, match=r"target tokenizers must be the same; `.*0\.keras` has"):
        average_translators([files[0], stranger])


def test_other_tokenizers_make_no_ensemble(three: list[Translator]) -> None:
    one = three[0]
    words = one.target_tokenizer
    other = type(words)([word.upper() for word in words.vocabulary])
    stranger = Translator(three[1].model, one.source_tokenizer, other)

    with pytest.raises(ValueError, match="target tokenizers must be the same; translator 1 has"):
        ensemble_translators([one, stranger])
    with pytest.raises(ValueError, match="at least one translator; got none"):
        ensemble_translators([])


def test_what_is_no_list_of_translators_is_refused(
    three: list[Translator], files: list[Path]
) -> None:
    with pytest.raises(ValueError, match="at least one translator to average; got none"):
        average_translators([])
    with pytest.raises(TypeError, match="must be a sequence of translators or paths; got one str"):
        average_translators(str(files[0]))
    with pytest.raises(TypeError, match="got one Translator"):
        average_translators(three[0])
    with pytest.raises(ValueError, match="`weights` must be 3 positive numbers"):
        average_translators(three, [1, 2])
    with pytest.raises(FileNotFoundError, match="There is no model at `nowhere"):
        average_translators([files[0], "nowhere.keras"])
