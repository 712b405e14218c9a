"""The texts that exported artefacts translate for the comparison with Keras."""

from __future__ import annotations

from collections.abc import Sequence

from keras_s2s.export.specs.signatures import spec_of_text
from keras_s2s.text import valid_text
from keras_s2s.translation.translator import Translator

LEAST = 100  # number of ordinary sentences, up to which random ones are added

# These are texts that reach a server sooner or later. The last one holds bytes that are not valid
# UTF-8, as Python spells them.
AWKWARD = (
    "",
    " ",
    "  two  spaces\tand a tab ",
    "naïve café, Straße, ĳ, ﬁ",
    "e\u0301 is not \u00e9",
    "猫が好き。 Привет! שלום مرحبا",
    "👩‍👩‍👧 🙂🇨🇭",
    "zero\u200bwidth\u00a0no-break\u3000wide",
    "<s> </s> <pad> <unk> ▁ ⁇",
    "a\x00b",
    b"caf\xe9 \xf0\x9f".decode("utf-8", "surrogateescape"),
)


def parity_sentences(
    translator: Translator, given: Sequence[str] | None, seed: int = 0
) -> list[str]:
    """Returns awkward texts, then an over-long one, then the given ones, then random ones.

    Args:
        translator: the translator whose source tokenizer gives the random texts and whose longest
            source decides which text is over-long.
        given: the caller's own texts, or None.
        seed: seed of the random texts.

    Returns:
        The awkward texts, among them an empty one; one text that is longer than the translator's
        limit; and at least `LEAST` ordinary ones.
    """
    given = [valid_text(text) for text in given or []]
    longest = translator.max_source_length
    spec = spec_of_text(translator)
    # The text of random pieces may split into fewer pieces again, hence four times the limit.
    too_long = spec.sample(1, 4 * longest, seed)["text"].tolist()
    missing = max(0, LEAST - len(given))
    drawn = spec.sample(missing, min(longest, 30), seed + 1)["text"].tolist()
    return [*AWKWARD, *too_long, *given, *drawn]
