"""The page `parity.md` has a line for every comparison, and lists differences with their gaps."""

from keras_s2s.export.guide.parity_table import parity_markdown
from keras_s2s.export.parity.report import Comparison, Mismatch, ParityReport


def report(*comparisons: Comparison) -> str:
    about = {"versions": {"keras": "3", "onnx": None}, "settings": {"search": {"kind": "Greedy"}}}
    return parity_markdown(ParityReport({"count": 9, "given": 4}, comparisons, about, 1.0))


def test_every_comparison_has_its_line() -> None:
    text = report(
        Comparison("keras", 7, 9, 9),
        Comparison("onnx/model.onnx", None, 9, 9, 2e-7, largest_alignment_difference=3e-6),
    )

    assert "Everything was equal. 9 sentences were compared, 4 of them given." in text
    assert "| keras | 7 | 9 | 9 |  | passed |" in text
    assert "| onnx/model.onnx | other shapes | 9 | 9 | 3.0e-06 | passed |" in text
    assert "## Differences" not in text
    assert "- versions: keras 3\n" in text
    assert "search (kind Greedy)" in text


def test_near_ties_are_told_with_their_gap() -> None:
    near = Mismatch("a cat", "ein", "eine", score_gap=3e-6, token_gap=1e-6, near_tie=True)
    text = report(
        Comparison("onnx", 1, 9, 8, mismatches=[near]),
        Comparison("serving", 1, 9, 9, objections=["scores must be within 0.0001"]),
    )

    assert "**There are differences.**" in text
    assert "| onnx | 1 | 9 | 8 |  | **failed** |" in text
    assert (
        "- onnx: 'a cat' gave 'eine' instead of 'ein'; the scores differ by 3.0e-06 (a near tie)"
        in text
    )
    assert "- serving: scores must be within 0.0001" in text
