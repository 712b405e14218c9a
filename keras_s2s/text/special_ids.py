"""The special ids, which are the same in every tokenizer, model and exported graph."""

PAD_ID = 0  # fills rows up to the longest; never part of a text
UNKNOWN_ID = 1  # stands for text that the vocabulary lacks
START_ID = 2  # begins the sequence that a decoder reads
END_ID = 3  # ends a sentence

# The first id of a vocabulary, and the number of special ids.
FIRST_ID = 4

# The text that the unknown id decodes to: U+2047, as in SentencePiece.
UNKNOWN_TEXT = "⁇"
