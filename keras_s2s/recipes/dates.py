"""Generates dates as people write them, with their ISO 8601 answers.

This module owns the written forms, the conventions by which each text means one day, and the split
into days that are seen in training and days that are not. It knows nothing about tokenizers or
models. It needs Babel, which the extra `quickstart` installs.

Every text made here follows these conventions for dates that are written in digits only:

1. A date that begins with its four-digit year has the order year, month, day: `2021-05-03`,
   `2021/05/03`.
2. Otherwise dots mean day first: `3.5.2021` is the third of May.
3. Otherwise slashes mean month first: `3/5/2021` is the fifth of March.
4. Years always have four digits.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from keras_s2s.system.checks import check_whole

Pair = tuple[str, str]

FIRST_YEAR = 1950
LAST_YEAR = 2050
PATIENCE = 1000  # draws in a row without a new text, after which the range counts as used up

# The forms of each locale: Babel's named formats, or CLDR patterns with y for the year, M for the
# month, d for the day, E for the weekday, and quotes around words. {th} and {er} become the English
# and French ordinal of the day, which CLDR patterns cannot write. Croatian is left out on purpose,
# because "listopada" is October in Croatian and November in Polish.
STYLES: dict[str, tuple[str, ...]] = {
    "digits": (
        *("y-MM-dd", "y-MM-dd", "y-M-d", "y/MM/dd", "y.MM.dd", "y. MM. dd."),
        *("d.M.y", "dd.MM.y", "d. M. y", "M/d/y", "MM/dd/y"),
    ),
    "en_US": (
        *("MMMM d, y", "MMM d, y", "MMM dd, y", "MMMM '{th}', y", "MMM '{th}', y"),
        *("EEEE, MMMM d, y", "EEE, MMM d, y", "EEEE, MMMM '{th}', y", "EEE, MM/dd/y"),
        *("y MMMM d", "MMMM 'the {th}', y"),
    ),
    "en_GB": (
        *("d MMMM y", "d MMM y", "dd MMM y", "d-MMM-y", "'{th}' MMMM y", "'{th}' MMM y"),
        *("EEEE, d MMMM y", "EEE, d MMM y", "EEEE '{th}' MMMM y", "EEE '{th}' MMM y"),
        *("'{th} of' MMMM y", "'the {th} of' MMMM, y", "EEEE, 'the {th} of' MMMM y"),
    ),
    "de": ("full", "long", "d. MMM y", "EEE, d. MMM y", "EEEE, 'den' d. MMMM y", "EEE, dd.MM.y"),
    "fr": (
        *("full", "long", "medium", "EEE d MMM y"),
        *("'{er}' MMMM y", "'le {er}' MMMM y", "EEEE '{er}' MMMM y"),
    ),
    "es": ("full", "long", "medium", "d MMMM y", "EEE, d MMM y", "'el' d 'de' MMMM 'de' y"),
    "it": ("full", "long", "medium", "EEE d MMM y", "'il' d MMMM y"),
    "pt_BR": ("full", "long", "medium", "d MMMM y", "EEE, d MMM y"),
    "nl": ("full", "long", "medium", "EEE d MMM y"),
    "sv": ("full", "long", "medium", "EEE d MMM y", "'den' d MMMM y"),
    "da": ("full", "long", "medium", "EEE d. MMM y", "'den' d. MMMM y"),
    "nb": ("full", "long", "medium", "EEE d. MMM y"),
    "fi": ("full", "long", "EEE d. MMMM y"),
    "pl": ("full", "long", "medium", "EEE, d MMM y", "d MMMM y 'r.'"),
    "cs": ("full", "long", "EEE d. MMMM y"),
    "hu": ("full", "long", "medium", "y MMMM d"),
    "ro": ("full", "long", "medium", "EEE, d MMM y"),
    "tr": ("full", "long", "medium", "d MMM y EEE"),
    "id": ("full", "long", "medium", "EEE, d MMM y"),
    "el": ("full", "long", "medium", "EEE d MMM y"),
    "ru": ("full", "long", "d MMMM y", "EEE, d MMM y"),
    "uk": ("full", "long", "d MMMM y", "EEE, d MMM y"),
}

EXAMPLES: tuple[Pair, ...] = (
    ("the 3rd of May 2021", "2021-05-03"),
    ("May 3rd, 2021", "2021-05-03"),
    ("Friday the 13th of March 1998", "1998-03-13"),
    ("sat 1 jan 2000", "2000-01-01"),
    ("29-Feb-2024", "2024-02-29"),
    ("DECEMBER 24, 1968", "1968-12-24"),
    ("7/4/1976", "1976-07-04"),
    ("31.12.1999", "1999-12-31"),
    ("Donnerstag, den 9. November 1989", "1989-11-09"),
    ("le 14 juillet 1989", "1989-07-14"),
    ("20 de julio de 1969", "1969-07-20"),
    ("29 Ekim 2023", "2023-10-29"),
    ("1989. október 23.", "1989-10-23"),
    ("3 maja 1991 r.", "1991-05-03"),
    ("12 апреля 1961", "1961-04-12"),
    ("25 Μαρτίου 2021", "2021-03-25"),
)
"""Texts that a person might type, in the forms made here, with their answers."""


class DateCorpus(NamedTuple):
    """Three lists of `(text, iso)` pairs. No calendar day occurs in more than one of them."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


def generate_dates(
    count: int,
    *,
    seed: int,
    first_year: int = FIRST_YEAR,
    last_year: int = LAST_YEAR,
    locales: Sequence[str] = tuple(STYLES),
) -> list[Pair]:
    """Generates dates in many written forms, each with its ISO 8601 answer.

    For each pair, a day and a written form are drawn at random. Babel fills in the form in its
    language. Then letter case, commas and spaces are varied as careless typing varies them. Every
    text means one day by the conventions of this module, and no text occurs twice.

    Args:
        count: number of pairs, 0 or more.
        seed: seed of the drawing, which gives the same list again with one version of Babel.
        first_year: first year of the days drawn, 1000 or later.
        last_year: last year of the days drawn, at most 9999.
        locales: keys of `STYLES` to draw forms from; "digits" has the forms without words.

    Returns:
        A list of `count` pairs `(text, iso)`, such as `("the 3rd of May 2021", "2021-05-03")`.

    Raises:
        TypeError: If `count` or `seed` is not an integer.
        ValueError: If `count` is negative, if the range of years is empty, if a locale is unknown,
            or if the range of years does not give `count` different texts.
        ModuleNotFoundError: If Babel is not installed.

    Example:
        ```python
        for text, iso in generate_dates(3, seed=0):
            print(f"{text!r} -> {iso}")
        ```
    """
    for name, value in (("count", count), ("seed", seed)):
        check_whole(name, value, least=0)
    days = _days(first_year, last_year)
    return _pairs(count, days, _forms(locales), random.Random(int(seed)))


def date_corpus(
    train: int,
    validation: int,
    test: int,
    seed: int,
    *,
    first_year: int = FIRST_YEAR,
    last_year: int = LAST_YEAR,
    locales: Sequence[str] = tuple(STYLES),
) -> DateCorpus:
    """Generates training, validation and test pairs whose calendar days do not overlap.

    The days of the range are shuffled and cut 8 : 1 : 1, then each list is made from its own days.
    A model that answers the test pairs has therefore learned to read dates, not to recall them.

    Args:
        train: number of training pairs.
        validation: number of validation pairs.
        test: number of test pairs.
        seed: seed of the drawing, which gives the same corpus again with one version of Babel.
        first_year: first year of the days drawn, 1000 or later.
        last_year: last year of the days drawn, at most 9999.
        locales: keys of `STYLES` to draw the forms from.

    Returns:
        A `DateCorpus(train, validation, test)` of lists of `(text, iso)`.

    Raises:
        TypeError: If a number of pairs or `seed` is not an integer.
        ValueError: If a number of pairs is negative, if the range of years is empty, if a locale is
            unknown, or if the days of a list do not give as many different texts.
        ModuleNotFoundError: If Babel is not installed.

    Example:
        ```python
        corpus = date_corpus(1000, 100, 100, seed=0)
        print(len(corpus.train), corpus.test[0])
        ```
    """
    numbers = {"train": train, "validation": validation, "test": test, "seed": seed}
    for name, value in numbers.items():
        check_whole(name, value, least=0)
    days, forms = _days(first_year, last_year), _forms(locales)
    rng = random.Random(int(seed))
    rng.shuffle(days)
    tenth = len(days) // 10
    return DateCorpus(
        train=_pairs(train, days[2 * tenth :], forms, rng),
        validation=_pairs(validation, days[:tenth], forms, rng),
        test=_pairs(test, days[tenth : 2 * tenth], forms, rng),
    )


def follows_conventions(text: str, day: date) -> bool:
    """Returns whether `text` may be used for `day`, by the conventions of this module.

    Babel's data changes between versions. A form that has turned into two-digit years, or into
    digits in another order, is left out of the corpus and not taught.

    Args:
        text: a written date.
        day: the day that it stands for.

    Returns:
        True if the text names the day and the full year and, if the month is a number too, if the
        conventions read it as `day`.
    """
    numbers = re.findall(r"\d+", text)
    if len(numbers) == 2:  # the month is a word
        return str(day.year) in numbers and sorted(map(int, numbers)) == [day.day, day.year]
    if len(numbers) != 3:
        return False
    if len(numbers[0]) == 4:
        year, month, day_of_month = numbers
    elif "." in text:
        day_of_month, month, year = numbers
    elif "/" in text:
        month, day_of_month, year = numbers
    else:
        return False
    return [year, int(month), int(day_of_month)] == [str(day.year), day.month, day.day]


class _Form(NamedTuple):
    """One way to write a date, with a locale and a pattern."""

    locale: str
    pattern: str

    def fill(self, day: date) -> str:
        """Writes a day in this form, as CLDR spells it, with plain spaces."""
        from babel.dates import format_date

        locale = "en_US" if self.locale == "digits" else self.locale  # digits have no language
        text = format_date(day, self.pattern, locale=locale)
        text = text.replace("{th}", f"{day.day}{_english_ordinal(day.day)}")
        text = text.replace("{er}", "1er" if day.day == 1 else str(day.day))
        return " ".join(text.split())  # CLDR joins some parts with a narrow no-break space


def _english_ordinal(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _pairs(count: int, days: list[date], forms: list[_Form], rng: random.Random) -> list[Pair]:
    """Draws `count` pairs with different texts from `days` and `forms`."""
    answers: dict[str, str] = {}
    misses = 0
    while len(answers) < count:
        day = rng.choice(days)
        text = _retype(rng.choice(forms).fill(day), rng)
        if text not in answers and follows_conventions(text, day):
            answers[text] = day.isoformat()
            misses = 0
        elif (misses := misses + 1) == PATIENCE:
            raise ValueError(
                f"{len(days)} days in {len(forms)} forms should give {count} different texts; "
                f"got {len(answers)}. Ask for fewer pairs, more years or more locales."
            )
    return list(answers.items())


def _retype(text: str, rng: random.Random) -> str:
    """Varies a text as hasty typing does, with another case, a lost comma or an extra space."""
    cased = rng.choices((text, text.lower(), text.upper()), (6, 3, 1))[0]
    # Only Latin letters are made capitals. Greek capitals would have to lose their accents, and
    # capitals of all scripts would make the alphabet larger by a third.
    if not cased.isupper() or max(cased) < "\u0250":
        text = cased
    if rng.random() < 0.25:
        text = text.replace(",", "")
    if rng.random() < 0.05:
        text = text.replace(", ", " , ")
    if rng.random() < 0.08:
        text = text.replace(" ", "  ", 1)
    if rng.random() < 0.03:
        text = rng.choice((f" {text}", f"{text} "))
    return text


def _forms(locales: Sequence[str]) -> list[_Form]:
    """Returns all forms of the locales, or raises an error without locales or without Babel."""
    if importlib.util.find_spec("babel") is None:
        raise ModuleNotFoundError(
            "Dates need Babel, which is not installed. Run: pip install 'keras-s2s[quickstart]'"
        )
    if isinstance(locales, str) or not locales or any(name not in STYLES for name in locales):
        raise ValueError(
            f"`locales` must be a sequence of one or more of {', '.join(STYLES)}; got {locales!r}."
        )
    return [_Form(name, pattern) for name in locales for pattern in STYLES[name]]


def _days(first_year: int, last_year: int) -> list[date]:
    """Returns every day from the first to the last year, or raises ValueError if there are none."""
    check_whole("first_year", first_year, least=1000)
    check_whole("last_year", last_year, least=first_year)
    if last_year > date.max.year:
        raise ValueError(f"`last_year` must be at most {date.max.year}; got {last_year}.")
    start = date(first_year, 1, 1)
    return [start + timedelta(n) for n in range((date(last_year, 12, 31) - start).days + 1)]
