"""The texts that exported artefacts are compared on."""

from __future__ import annotations

from collections.abc import Sequence

from keras_s2s.export.specs.signatures import spec_of_text
from keras_s2s.text import valid_text
from keras_s2s.translation.translator import Translator

LEAST = 100  # sentences, below which random ones are added

# What reaches a server sooner or later. The last but one are bytes that are no UTF-8, as Python
# spells them.
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
    """Awkward texts first, then the given ones, then random ones up to `LEAST` ordinary ones.

    Args:
        translator: its source tokenizer gives the random ones, its longest source the one that is
            cut.
        given: the caller's; None gives random ones alone.
        seed: of the random ones.

    Returns:
        At least `LEAST` texts and the awkward ones, among them an empty one and one longer than the
        limit.
    """
    given = [valid_text(text) for text in given or []]
    longest = translator.max_source_length
    spec = spec_of_text(translator)
    # Drawn pieces may read as text that splits into fewer of them, hence four times the limit.
    too_long = spec.sample(1, 4 * longest, seed)["text"].tolist()
    missing = max(0, LEAST - len(given))
    drawn = spec.sample(missing, min(longest, 30), seed + 1)["text"].tolist()
    return [*AWKWARD, *too_long, *given, *drawn]
