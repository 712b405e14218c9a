"""Every date text means one day, held-out days are unseen, and the seed decides everything."""

import os
import re
import subprocess
import sys
from datetime import date
from itertools import product

import pytest

from keras_s2s.recipes import dates
from keras_s2s.recipes.dates import (
    EXAMPLES,
    STYLES,
    date_corpus,
    follows_conventions,
    generate_dates,
)

ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def bare(text: str) -> str:
    """What is left of a text when case, commas and spaces no longer count."""
    return " ".join(text.lower().replace(",", " ").split())


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    return generate_dates(30_000, seed=3)


def test_no_text_means_two_days_in_any_language_or_spelling() -> None:
    # Exhaustive over forms, months and the days on which languages differ (ordinals, one or two
    # digits, day numbers that could be months), and over years whose digits could be mistaken.
    days = [
        date(year, month, day)
        for year, month, day in product((2010, 2012), range(1, 13), (1, 2, 3, 4, 10, 11, 12, 22))
    ]
    meanings: dict[str, date] = {}
    for form in dates._forms(tuple(STYLES)):
        for day in days:
            text = bare(form.fill(day))
            if follows_conventions(text, day):
                assert meanings.setdefault(text, day) == day, (text, form)


def test_no_generated_text_means_two_days() -> None:
    meanings: dict[str, str] = {}
    for seed in range(4):
        for text, iso in generate_dates(20_000, seed=seed, first_year=2010, last_year=2012):
            assert meanings.setdefault(bare(text), iso) == iso, text


def test_every_form_survives_its_own_conventions() -> None:
    # A form that Babel renders against the conventions would silently never be drawn.
    days = [date(2021, 5, 3), date(1999, 12, 31), date(2024, 2, 29)]
    dropped = [
        (form, form.fill(day))
        for form, day in product(dates._forms(tuple(STYLES)), days)
        if not follows_conventions(form.fill(day), day)
    ]
    assert dropped == []


@pytest.mark.parametrize(
    ("text", "day", "follows"),
    [
        ("2021-05-03", date(2021, 5, 3), True),
        ("2021/05/03", date(2021, 5, 3), True),
        ("2021. 05. 03.", date(2021, 5, 3), True),
        ("2021-03-05", date(2021, 5, 3), False),
        ("3.5.2021", date(2021, 5, 3), True),
        ("5.3.2021", date(2021, 5, 3), False),
        ("5/3/2021", date(2021, 5, 3), True),
        ("03/05/2021", date(2021, 5, 3), False),
        ("03-05-2021", date(2021, 5, 3), False),
        ("03.05.21", date(2021, 5, 3), False),
        ("3 May 21", date(2021, 5, 3), False),
        ("3 May 2021", date(2021, 5, 3), True),
        ("the 3rd of May 2021", date(2021, 5, 3), True),
        ("4 May 2021", date(2021, 5, 3), False),
        ("3 May 2022", date(2021, 5, 3), False),
        ("May 2021", date(2021, 5, 3), False),
        ("3.5.2021 12:00", date(2021, 5, 3), False),
    ],
)
def test_conventions_for_digits(text: str, day: date, follows: bool) -> None:
    assert follows_conventions(text, day) is follows


def test_generated_answers_are_iso_dates_and_texts_follow_the_conventions(
    pairs: list[tuple[str, str]],
) -> None:
    for text, iso in pairs:
        assert ISO.fullmatch(iso)
        assert follows_conventions(text, date.fromisoformat(iso)), (text, iso)


def test_texts_are_different_and_fit_a_small_alphabet(pairs: list[tuple[str, str]]) -> None:
    texts = [text for text, _ in pairs]
    assert len(set(texts)) == len(texts) == 30_000
    alphabet = set("".join(texts))
    assert len(alphabet) < 200
    assert {c for c in alphabet if c.isspace()} == {" "}
    assert max(map(len, texts)) <= 45


def test_every_variation_occurs(pairs: list[tuple[str, str]]) -> None:
    texts = [text for text, _ in pairs]
    assert any(text.isupper() for text in texts)
    assert any("  " in text for text in texts)
    assert any(" , " in text for text in texts)
    assert any(text != text.strip() for text in texts)


def test_every_form_occurs() -> None:
    texts = {
        bare(text) for text, _ in generate_dates(8000, seed=1, first_year=2023, last_year=2023)
    }
    days = [date.fromordinal(date(2023, 1, 1).toordinal() + n) for n in range(365)]
    for form in dates._forms(tuple(STYLES)):
        assert any(bare(form.fill(day)) in texts for day in days), form


def test_examples_are_forms_the_generator_makes_with_the_answers_it_gives() -> None:
    forms = dates._forms(tuple(STYLES))
    for text, iso in EXAMPLES:
        day = date.fromisoformat(iso)
        assert follows_conventions(text, day), text
        assert bare(text) in {bare(form.fill(day)) for form in forms}, text


def test_examples_use_only_characters_that_are_generated(pairs: list[tuple[str, str]]) -> None:
    alphabet = set("".join(text for text, _ in pairs))
    assert set("".join(text for text, _ in EXAMPLES)) <= alphabet


@pytest.mark.parametrize(
    ("number", "ordinal"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th")]
    + [(20, "20th"), (21, "21st"), (22, "22nd"), (23, "23rd"), (30, "30th"), (31, "31st")],
)
def test_english_ordinals(number: int, ordinal: str) -> None:
    form = dates._Form("en_GB", "'the {th} of' MMMM y")
    assert form.fill(date(2021, 5, number)) == f"the {ordinal} of May 2021"


def test_splits_share_no_calendar_day() -> None:
    corpus = date_corpus(3000, 300, 200, seed=5)
    days = [{iso for _, iso in part} for part in corpus]
    assert [len(part) for part in corpus] == [3000, 300, 200]
    assert not days[0] & days[1]
    assert not days[0] & days[2]
    assert not days[1] & days[2]
    # Each part is spread over the whole range, not a block of it.
    assert all(len({iso[:4] for iso in part}) > 80 for part in days)


def test_splits_stay_apart_when_every_day_of_a_year_is_used() -> None:
    corpus = date_corpus(4000, 500, 500, seed=5, first_year=2024, last_year=2024)
    days = [{iso for _, iso in part} for part in corpus]
    # 366 days, a tenth is 36: every day ends up in exactly one part.
    assert [len(part) for part in days] == [294, 36, 36]
    assert len(set.union(*days)) == 366
    assert "2024-02-29" in set.union(*days)


def test_years_stay_in_their_range() -> None:
    years = {
        int(iso[:4]) for _, iso in generate_dates(500, seed=1, first_year=1999, last_year=2001)
    }
    assert years == {1999, 2000, 2001}


def test_locales_choose_the_forms() -> None:
    texts = [text for text, _ in generate_dates(50, seed=1, locales=["digits"])]
    assert all(re.fullmatch(r"[\d ./-]+", text) for text in texts)
    german = [text.lower() for text, _ in generate_dates(300, seed=1, locales=("de",))]
    assert any("märz" in text for text in german)
    assert not any("march" in text for text in german)


def test_another_seed_gives_another_corpus_and_the_same_seed_the_same() -> None:
    assert date_corpus(50, 5, 5, 7) == date_corpus(50, 5, 5, 7)
    assert date_corpus(50, 5, 5, 7).train != date_corpus(50, 5, 5, 8).train
    assert generate_dates(20, seed=1) == generate_dates(50, seed=1)[:20]


def test_global_random_state_is_left_alone() -> None:
    import random

    random.seed(1)
    before = random.getstate()
    generate_dates(5, seed=2)
    assert random.getstate() == before


def test_corpus_does_not_depend_on_the_system_locale_or_on_hash_order() -> None:
    code = (
        "from keras_s2s.recipes.dates import date_corpus\n"
        "print(ascii(date_corpus(200, 20, 20, 11)))"
    )
    environments = (
        {"LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "2"},
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for environment in environments
    }
    assert printed == {ascii(date_corpus(200, 20, 20, 11)) + "\n"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"count": -1}, ValueError, "`count` must be at least 0; got -1"),
        ({"count": 2.5}, TypeError, "`count` must be a whole number; got 2.5"),
        ({"count": True}, TypeError, "`count` must be a whole number; got True"),
        ({"seed": None}, TypeError, "`seed` must be a whole number; got None"),
        ({"seed": -4}, ValueError, "`seed` must be at least 0"),
        ({"first_year": 2000, "last_year": 1999}, ValueError, "`last_year` must be at least 2000"),
        ({"first_year": 999}, ValueError, "`first_year` must be at least 1000; got 999"),
        ({"last_year": 10_000}, ValueError, "`last_year` must be at most 9999; got 10000"),
        ({"locales": ["hr"]}, ValueError, r"one or more of digits, en_US, .*got \['hr'\]"),
        ({"locales": "de"}, ValueError, "must be a sequence"),
        ({"locales": []}, ValueError, r"got \[\]"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        generate_dates(**({"count": 10, "seed": 0} | arguments))  # type: ignore[arg-type]


def test_a_range_that_is_used_up_is_an_error_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "PATIENCE", 20)
    with pytest.raises(ValueError, match="365 days in 11 forms should give 9000 different texts"):
        generate_dates(9000, seed=0, locales=["digits"], first_year=2023, last_year=2023)


def test_missing_babel_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keras-s2s\[quickstart\]'"):
        generate_dates(1, seed=0)


def test_zero_pairs_is_an_empty_list() -> None:
    assert generate_dates(0, seed=0) == []
    assert date_corpus(3, 0, 0, 0)[1:] == ([], [])
