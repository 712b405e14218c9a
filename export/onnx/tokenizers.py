"""Writes tokenizers as ONNX graphs: from text to ids and from ids to text.

The graphs are built by hand, since no converter handles text, and stand around an ids-to-ids model
in a text-to-text model. `onnx.compose.merge_models` can merge them with other models. Character and
word graphs need stock ONNX Runtime only (domains ai.onnx.ml and com.microsoft); SentencePiece
graphs need onnxruntime-extensions (domain ai.onnx.contrib).

An input that is not valid UTF-8 is an error at run time: `Tokenizer.encode` would repair it, but no
ONNX operator can. NUL becomes a space, as in the other forms of a tokenizer, if the runtime hands
it over: onnxruntime-web 1.30 ends a text there before the graph sees it.
"""

from __future__ import annotations

from typing import Any, cast, get_args

import onnx
from onnx import helper

from keras_s2s.export.onnx.graph.nodes import Nodes
from keras_s2s.system.checks import check_size
from keras_s2s.text import CharTokenizer, SentencePieceTokenizer, Tokenizer, WordTokenizer
from keras_s2s.text.special_ids import FIRST_ID, UNKNOWN_TEXT
from keras_s2s.text.vocabulary import WORD_PATTERN, VocabularyTokenizer

INT32, INT64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
BOOL, STRING = onnx.TensorProto.BOOL, onnx.TensorProto.STRING
FIRST_OPSET = 20  # the first with StringConcat
OnnxTokenizer = SentencePieceTokenizer | CharTokenizer | WordTokenizer


def encode_model(
    tokenizer: Tokenizer, *, max_length: int, opset: int = FIRST_OPSET, ir_version: int = 9
) -> onnx.ModelProto:
    """Builds the graph from texts to source ids, padded to the longest row.

    Each row is `encode(text)[:max_length - 1] + [end]`.

    Args:
        tokenizer: A tokenizer of `keras_s2s.text`.
        max_length: Largest source length, the end id counted.
        opset: Version of ONNX's own operator set, at least 20.
        ir_version: Version of the file format.

    Returns:
        A model with input `text` string [batch] and output `input_ids` int32 [batch,
        source_length], where source_length is at least 1, also for an empty batch.

    Raises:
        TypeError: If `tokenizer` is of a class that has no ONNX form.
        ValueError: If `max_length` is below 1 or `opset` below 20.

    Example:
        >>> from keras_s2s.text import WordTokenizer
        >>> model = encode_model(WordTokenizer(["a", "cat"]), max_length=50)
        >>> [value.name for value in [*model.graph.input, *model.graph.output]]
        ['text', 'input_ids']
    """
    check_size("max_length", max_length)
    checked = _checked(tokenizer, opset)
    nodes = Nodes("encode/")
    # ONNX Runtime's Tokenizer returns another rank for an empty batch, so an empty text is added
    # here and removed below.
    texts = nodes.add("Concat", ["text", nodes.constant([""])], axis=0)
    if isinstance(checked, SentencePieceTokenizer):
        ids = _sentencepiece_ids(nodes, texts, checked, max_length - 1)
    else:
        ids = _vocabulary_ids(nodes, texts, checked, max_length - 1)
    ids = _with_end(nodes, ids)
    ids = nodes.add("Slice", [ids, nodes.constant([0]), nodes.constant([-1]), nodes.constant([0])])
    nodes.add("Cast", [ids], to=INT32, output="input_ids")
    return nodes.model(
        [helper.make_tensor_value_info("text", STRING, ["batch"])],
        [helper.make_tensor_value_info("input_ids", INT32, ["batch", "source_length"])],
        opset=opset,
        ir_version=ir_version,
    )


def decode_model(
    tokenizer: Tokenizer, *, opset: int = FIRST_OPSET, ir_version: int = 9
) -> onnx.ModelProto:
    """Builds the graph from target ids to the texts that `tokenizer.decode` returns.

    An id outside the vocabulary counts as unknown, so that one bad row does not fail a batch.

    Args:
        tokenizer: A tokenizer of `keras_s2s.text`.
        opset: Version of ONNX's own operator set, at least 20.
        ir_version: Version of the file format.

    Returns:
        A model with input `output_ids` int32 [batch, target_length] and output `translation` string
        [batch].

    Raises:
        TypeError: If `tokenizer` is of a class that has no ONNX form.
        ValueError: If `opset` is below 20.

    Example:
        >>> from keras_s2s.text import WordTokenizer
        >>> model = decode_model(WordTokenizer(["a", "cat"]))
        >>> [value.name for value in [*model.graph.input, *model.graph.output]]
        ['output_ids', 'translation']
    """
    checked = _checked(tokenizer, opset)
    nodes = Nodes("decode/")
    ids = _text_ids(nodes, nodes.add("Cast", ["output_ids"], to=INT64))
    if isinstance(checked, SentencePieceTokenizer):
        _sentencepiece_text(nodes, ids, checked, output="translation")
    else:
        _vocabulary_text(nodes, ids, checked, output="translation")
    return nodes.model(
        [helper.make_tensor_value_info("output_ids", INT32, ["batch", "target_length"])],
        [helper.make_tensor_value_info("translation", STRING, ["batch"])],
        opset=opset,
        ir_version=ir_version,
    )


def add_pieces(nodes: Nodes, tokenizer: Tokenizer, ids: str, lengths: str, *, output: str) -> None:
    """Adds nodes that look up `tokenizer.pieces` of ids int64 [..., tokens].

    The strings behind the lengths are empty.
    """
    width = nodes.add("Squeeze", [nodes.add("Shape", [ids], start=-1)])
    within = nodes.add(
        "Less", [_columns(nodes, width), nodes.add("Unsqueeze", [lengths, nodes.constant([-1])])]
    )
    size = tokenizer.vocabulary_size
    nodes.add(
        "LabelEncoder",
        [nodes.add("Where", [within, ids, nodes.constant(-1)])],
        output=output,
        domain="ai.onnx.ml",
        keys_int64s=[-1, *range(size)],
        values_strings=["", *tokenizer.pieces(range(size))],
        default_string=UNKNOWN_TEXT,
    )


def _checked(tokenizer: Tokenizer, opset: int) -> OnnxTokenizer:
    # A subclass may split text in another way, so the class must be exactly one of these.
    if type(tokenizer) not in get_args(OnnxTokenizer):
        raise TypeError(
            "`tokenizer` must be a SentencePieceTokenizer, CharTokenizer or WordTokenizer to "
            f"become ONNX; got {type(tokenizer).__name__}. Export ids instead of text."
        )
    if opset < FIRST_OPSET:
        raise ValueError(
            f"`opset` must be at least {FIRST_OPSET}, the first with StringConcat; got {opset}. "
            "Import a newer operator set in the rest of the model."
        )
    return cast(OnnxTokenizer, tokenizer)


def _vocabulary_ids(nodes: Nodes, texts: str, tokenizer: VocabularyTokenizer, longest: int) -> str:
    """Adds nodes from texts [batch] to ids int64 [batch, tokens].

    The ids are cut to `longest` and padded with 0.
    """
    if isinstance(tokenizer, CharTokenizer):
        rule: dict[str, Any] = {"separators": [""]}  # an empty separator means every code point
    else:
        rule = {"tokenexp": WORD_PATTERN}
    tokens = nodes.add(
        "Tokenizer", [texts], domain="com.microsoft", mark=0, mincharnum=1, pad_value="", **rule
    )
    ids = {"": tokenizer.pad_id}
    ids |= {token: FIRST_ID + position for position, token in enumerate(tokenizer.vocabulary)}
    ids["\0"] = ids.get(" ", tokenizer.unknown_id)  # as in `valid_text`
    ids_of_tokens = nodes.add(
        "LabelEncoder",
        [nodes.declare(tokens, STRING)],
        domain="ai.onnx.ml",
        keys_strings=list(ids),
        values_int64s=list(ids.values()),
        default_int64=tokenizer.unknown_id,
    )
    return nodes.add(
        "Slice",
        [ids_of_tokens, nodes.constant([0]), nodes.constant([longest]), nodes.constant([1])],
    )


def _sentencepiece_ids(
    nodes: Nodes, texts: str, tokenizer: SentencePieceTokenizer, longest: int
) -> str:
    """Adds nodes from texts [batch] to ids int64 [batch, tokens].

    The ids are cut to `longest` and padded with 0. The operator returns the ids of all texts in one
    row, and the position at which each text begins; from these each [row, column] of the result is
    gathered.
    """
    sampling = [nodes.constant([0]), nodes.constant([0.0])]  # n-best and alpha: no sampling
    start_end_reverse = [nodes.constant([False])] * 3
    pieces, splits = nodes.add_all(
        "SentencepieceTokenizer",
        [_without_nul(nodes, texts), *sampling, *start_end_reverse],
        2,
        domain="ai.onnx.contrib",
        model=tokenizer.model,
    )
    zero, one, last = nodes.constant([0]), nodes.constant([1]), nodes.constant([2**31])
    begins = nodes.add("Slice", [splits, zero, nodes.constant([-1]), zero])
    ends = nodes.add("Slice", [splits, one, last, zero])
    lengths = nodes.add("Min", [nodes.add("Sub", [ends, begins]), nodes.constant([longest])])
    # `lengths` is never empty, because one text was added.
    width = nodes.add("ReduceMax", [lengths], keepdims=0)
    columns = _columns(nodes, width)
    within = nodes.add("Less", [columns, nodes.add("Unsqueeze", [lengths, one])])
    positions = nodes.add("Add", [columns, nodes.add("Unsqueeze", [begins, one])])
    pieces = nodes.add("Concat", [nodes.add("Cast", [pieces], to=INT64), zero], axis=0)
    positions = nodes.add("Where", [within, positions, nodes.constant([-1])])  # the 0 added last
    return nodes.add("Gather", [pieces, positions], axis=0)


def _without_nul(nodes: Nodes, texts: str) -> str:
    """Replaces each NUL by a space, as `valid_text` does; the operator would end the text there."""
    parts = nodes.add(
        "Tokenizer",
        [texts],
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="",
        tokenexp=r"[^\x00]+|\x00",
    )
    is_nul = nodes.add("Equal", [nodes.declare(parts, STRING), nodes.constant("\0")])
    return _joined(nodes, nodes.add("Where", [is_nul, nodes.constant(" "), parts]))


def _with_end(nodes: Nodes, ids: str) -> str:
    """Puts the end id behind the last id of each row: [batch, tokens] to [batch, tokens + 1]."""
    padded = nodes.add("Pad", [ids, nodes.constant([0, 0, 0, 1])])
    real = nodes.add("Cast", [nodes.add("Cast", [padded], to=BOOL)], to=INT64)
    lengths = nodes.add("ReduceSum", [real, nodes.constant([1])], keepdims=1)
    width = nodes.add("Squeeze", [nodes.add("Shape", [padded], start=1)])
    behind = nodes.add("Equal", [_columns(nodes, width), lengths])
    return nodes.add("Where", [behind, nodes.constant(Tokenizer.end_id), padded])


def _columns(nodes: Nodes, width: str) -> str:
    return nodes.add("Range", [nodes.constant(0), width, nodes.constant(1)])


def _text_ids(nodes: Nodes, ids: str) -> str:
    """Sets ids that `decode` drops to 0: start ids, and the first end id with all ids behind it."""
    ends = nodes.add("Equal", [ids, nodes.constant(Tokenizer.end_id)])
    ends_so_far = nodes.add("CumSum", [nodes.add("Cast", [ends], to=INT64), nodes.constant(1)])
    ended = nodes.add("Cast", [ends_so_far], to=BOOL)
    starts = nodes.add("Equal", [ids, nodes.constant(Tokenizer.start_id)])
    dropped = nodes.add("Or", [ended, starts])
    return nodes.add("Where", [dropped, nodes.constant(Tokenizer.pad_id), ids])


def _vocabulary_text(
    nodes: Nodes, ids: str, tokenizer: VocabularyTokenizer, *, output: str
) -> None:
    """Adds nodes from ids int64 [batch, tokens], 0 where dropped, to texts [batch]."""
    tokens = nodes.add(
        "LabelEncoder",
        [ids],
        domain="ai.onnx.ml",
        keys_int64s=[tokenizer.pad_id, *range(FIRST_ID, tokenizer.vocabulary_size)],
        values_strings=["", *tokenizer.vocabulary],
        default_string=UNKNOWN_TEXT,
    )
    if tokenizer.separator:
        real = nodes.add("Cast", [ids], to=BOOL)
        ranks = nodes.add("CumSum", [nodes.add("Cast", [real], to=INT64), nodes.constant(1)])
        later = nodes.add("Greater", [ranks, nodes.constant(1)])
        separated = nodes.add("And", [real, later])
        separators = [nodes.constant(tokenizer.separator), nodes.constant("")]
        before = nodes.add("Where", [separated, *separators])
        tokens = nodes.add("StringConcat", [before, tokens])
    _joined(nodes, tokens, output=output)


def _joined(nodes: Nodes, strings: str, *, output: str | None = None) -> str:
    """Joins strings [rows, columns] to [rows], in a loop that appends one column after another."""
    rows = nodes.add("Shape", [strings], start=0, end=1)
    empty = nodes.add("Expand", [nodes.constant([""]), rows])
    count = nodes.add("Squeeze", [nodes.add("Shape", [strings], start=1)])
    body = Nodes(f"{nodes.prefix}column/")
    # On the last axis: on the first, ONNX Runtime's Gather of strings is wrong (seen in 1.32).
    column = body.add("Gather", [strings, body.number], axis=1)
    so_far = helper.make_tensor_value_info(f"{body.prefix}so_far", STRING, [None])
    joined = body.add("StringConcat", [so_far.name, column])
    joined = helper.make_tensor_value_info(joined, STRING, [None])
    loop = body.loop_body([so_far], [joined])
    return nodes.add("Loop", [count, "", empty], output=output, body=loop)


def _sentencepiece_text(
    nodes: Nodes, ids: str, tokenizer: SentencePieceTokenizer, *, output: str
) -> None:
    """Adds nodes from ids int64 [batch, tokens], 0 where dropped, to texts [batch].

    A loop goes row by row, because the operator decodes only one row. It fails for an id outside
    the vocabulary, so such ids become unknown first.
    """
    low = nodes.add("Less", [ids, nodes.constant(0)])
    high = nodes.add("GreaterOrEqual", [ids, nodes.constant(tokenizer.vocabulary_size)])
    outside = nodes.add("Or", [low, high])
    ids = nodes.add("Where", [outside, nodes.constant(Tokenizer.unknown_id), ids])
    count = nodes.add("Squeeze", [nodes.add("Shape", [ids], start=0, end=1)])
    body = Nodes(f"{nodes.prefix}row/")
    row = body.add("Gather", [ids, body.number], axis=0)
    real = body.add("Compress", [row, body.add("Cast", [row], to=BOOL)], axis=0)
    text = body.add("SentencepieceDecoder", [real], domain="ai.onnx.contrib", model=tokenizer.model)
    text = body.add("Squeeze", [text])  # one string, so that the loop stacks them to [batch]
    loop = body.loop_body([], [helper.make_tensor_value_info(text, STRING, [])])
    nodes.add("Loop", [count, ""], output=output, body=loop)
