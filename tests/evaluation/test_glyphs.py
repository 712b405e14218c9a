"""Every token label can be seen and drawn, in the fonts that the library promises."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.evaluation import glyphs
from keras_s2s.evaluation.glyphs import LONGEST_LABEL, printable_line, token_label, widest


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ("Haus", "Haus"),
        (" ", "␣"),
        (" a b", "␣a␣b"),
        ("\u00a0\u3000", "␣␣"),
        ("\n\r\t", "↵↵⇥"),
        ("", "∅"),
        ("\x00\x07", "��"),
        ("\ud800", "�"),
        ("▁Żółć", "▁Żółć"),
        ("Ελλάδα", "Ελλάδα"),
        ("Україна", "Україна"),
        ("$x_1$", "$x_1$"),
        ("e\u0301", "e\u0301"),
        ("\u0301", "◌\u0301"),
        ("a" * LONGEST_LABEL, "a" * LONGEST_LABEL),
        ("a" * (LONGEST_LABEL + 1), "a" * (LONGEST_LABEL - 1) + "…"),
    ],
)
def test_label_shows_every_character(token: str, label: str) -> None:
    assert token_label(token) == label


@given(st.text(st.characters(exclude_categories=())))
def test_every_label_is_one_drawable_line(token: str) -> None:
    label = token_label(token)
    assert 1 <= len(label) <= LONGEST_LABEL + 1
    assert {ord(c) for c in label} <= glyphs._drawable()
    assert not any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in label)


@given(st.text(st.characters(exclude_categories=())))
def test_every_heading_is_one_drawable_line(text: str) -> None:
    line = printable_line(text)
    assert len(line) == len(text)
    assert {ord(c) for c in line} <= glyphs._drawable()
    assert "\n" not in line


def test_characters_without_a_font_become_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "_drawable", lambda: frozenset(map(ord, "a□")))
    assert token_label("a日本") == "a□□"
    assert printable_line("a 日") == "a □"


def test_an_installed_font_lends_what_the_first_one_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    # STIX comes with Matplotlib and has the telephone recorder that DejaVu Sans has not.
    for cached in (glyphs._families, glyphs._drawable):
        cached.cache_clear()
    if 0x2315 in glyphs._drawable():
        pytest.skip("another installed font already has this character")
    assert token_label("\u2315") == "□"

    monkeypatch.setattr(glyphs, "OTHER_FONTS", ("No Such Font", "STIXGeneral"))
    for cached in (glyphs._families, glyphs._drawable):
        cached.cache_clear()
    try:
        assert token_label("\u2315") == "\u2315"
        assert glyphs.font(9).get_family() == ["DejaVu Sans", "STIXGeneral"]
    finally:
        for cached in (glyphs._families, glyphs._drawable):
            cached.cache_clear()


def test_widest_grows_with_the_text_and_the_font() -> None:
    small, large = glyphs.font(6), glyphs.font(12)
    assert widest(["i", "mmm"], small) == widest(["mmm"], small) > widest(["mm"], small) > 0
    assert widest(["mmm"], large) == pytest.approx(2 * widest(["mmm"], small), rel=0.05)
