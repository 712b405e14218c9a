"""Texts of every kind for the tests of tokenizers, and tokenizers trained on some of them."""

import random
from functools import cache
from typing import Any

from keras_s2s.text import (
    Tokenizer,
    train_tokenizer,
)

KINDS = ("unigram", "bpe", "char", "word")
WORDS = """
the cat sat on a mat
über schöne Straße 東京 に行く שלום עולם مرحبا ﬁne naïve e\u0301t\u0301 ▁low 🙂 don't x²
""".split()  # noqa: SIM905
_shuffle = random.Random(7)
LINES = tuple(" ".join(_shuffle.choices(WORDS, k=7)) for _ in range(300))
NASTY = (
    "",
    " ",
    "  the  cat  ",
    "\u3000the\u00a0cat\u2003sat\u2028on\u0085a\x1cmat",
    "the\tcat\vsat\fon\ra\nmat\r\n",
    "unseen ĝ q\U0001f9ff",
    "👩‍👩‍👧 👍🏽 🇫🇷",
    "e\u0301 é \u0301\u0301 a\u0327\u0300",
    "שלום (עולם) \u202eabc\u202c مرحبا",
    "ﬁne x² ① Ａ ｶﾞ",
    "\ufeffthe cat\ufeff",
    "zero\u200bwidth\u00adhyphen",
    "▁the▁cat ▁",
    "<s> </s> <pad> <unk> ⁇",
    "\ufffd \ufffe \uffff \ue000 \U0010ffff \ud7ff",
    "▅ reserved",
    "\x01\x02\x1b[31m\x7f",
    "\0",
    "a\0b\0\0cat\0",
    "caf\udcc3 au lait",  # bytes that are no UTF-8, as Python's surrogateescape reads them
    "\udce2\udc82\udcac \udcff \udced\udca0\udc80 \udcf0\udc9f",
    "東京" * 3000,
    "the cat " * 2000,
    "a" * 20000,
)


@cache
def trained(kind: Any) -> Tokenizer:
    return train_tokenizer(kind, LINES, {"unigram": 64, "bpe": 130, "char": None, "word": 20}[kind])
