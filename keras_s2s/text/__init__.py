"""Text to ids and back: tokenizers of subwords, characters and words.

A tokenizer has three forms, in Python, TensorFlow and ONNX, which give the same ids and the same
text. The ONNX form is in `keras_s2s.export`.

- `trainer`: `train_tokenizer`, which makes a tokenizer from lines of text.
- `subword_sampling`: `SubwordSampling`, which segments the same text differently each time.
- `subword`: `SentencePieceTokenizer`, for subwords.
- `vocabulary`: `CharTokenizer` and `WordTokenizer`, for characters and words.
- `tokenizer`: `Tokenizer`, the base class with the rules of all forms, and `valid_text`.
- `graph_modules`: the TensorFlow form of the tokenizers.
- `special_ids`: the ids of padding, unknown, start and end.

Imports run downwards in this list.
"""

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.subword_sampling import SubwordSampling
from keras_s2s.text.tokenizer import Tokenizer, valid_text
from keras_s2s.text.trainer import train_tokenizer
from keras_s2s.text.vocabulary import CharTokenizer, WordTokenizer

__all__ = [
    "CharTokenizer",
    "SentencePieceTokenizer",
    "SubwordSampling",
    "Tokenizer",
    "WordTokenizer",
    "train_tokenizer",
    "valid_text",
]
