"""Hoisting moves weights and other unchanged values out of ONNX loops and keeps the results."""

import doctest

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from keras_s2s.export.onnx.graph import hoisting
from keras_s2s.export.onnx.graph.hoisting import hoist_invariants
from keras_s2s.export.onnx.graph.names import bodies, defined, graphs, nodes, rename_all

HEADER = '<ir_version: 8, opset_import: ["": 18]>\n'

# As tf2onnx writes it: the weights w and a travel through the loop, through identities.
STATE = """
agraph (int64 n, float[2,2] w, float[2] a, float[2,2] x) => (float[2,2] y, float[N,2,2] all) {
    go = Constant <value = bool {1}> ()
    y, w_after, a_after, all = Loop (n, go, x, w, a) <body = body (
        int64 i, bool c, float[2,2] s, float[2,2] w_in, float[2] a_in
    ) => (bool d, float[2,2] t, float[2,2] w_out, float[2] a_out, float[2,2] t_all) {
        d = Identity (c)
        w_same = Identity (w_in)
        turned = Transpose <perm = [1, 0]> (w_same)
        product = MatMul (s, turned)
        scale = Constant <value = float {0.5}> ()
        half = Mul (product, scale)
        t = Add (half, a_in)
        w_out = Identity (w_same)
        a_out = Identity (a_in)
        t_all = Identity (t)
    }>
}
"""

# A loop in a loop; nothing it is handed changes, but its body reads outer state.
NESTED = """
agraph (int64 n, float[2] x, float[2] w) => (float[2] y) {
    y, w_after = Loop (n, , x, w) <body = outer (
        int64 i, bool c, float[2] s, float[2] w_in
    ) => (bool d, float[2] t, float[2] w_out) {
        d = Identity (c)
        k = Constant <value = int64 {2}> ()
        h, u_after = Loop (k, , w_in, w_in) <body = inner (
            int64 j, bool e, float[2] p, float[2] u_in
        ) => (bool f, float[2] q, float[2] u_out) {
            f = Identity (e)
            m = Constant <value = float {3.0}> ()
            fixed = Mul (u_in, m)
            less = Sub (fixed, p)
            q = Add (less, s)
            u_out = Identity (u_in)
        }>
        t = Neg (h)
        w_out = Identity (w_in)
    }>
}
"""

SIBLINGS = """
agraph (int64 n, float[1] x) => (float[1] y) {
    h = Loop (n, , x) <body = one (int64 i, bool c, float[1] s) => (bool d, float[1] t) {
        d = Identity (c)
        k = Constant <value = float {2.0}> ()
        t = Mul (s, k)
    }>
    y = Loop (n, , h) <body = two (int64 i, bool c, float[1] s) => (bool d, float[1] t) {
        d = Identity (c)
        k = Constant <value = float {5.0}> ()
        t = Add (s, k)
    }>
}
"""

FEEDS = {
    "n": np.array(3, np.int64),
    "w": np.array([[1, 2], [3, 4]], np.float32),
    "a": np.array([1, -1], np.float32),
    "x": np.array([[1, 0], [2, 1]], np.float32),
}


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {value.name: feeds[value.name] for value in model.graph.input}))


def loop_of(graph: onnx.GraphProto) -> tuple[onnx.NodeProto, onnx.GraphProto]:
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    return loop, next(bodies(loop))


def test_weights_leave_the_loop_and_results_stay() -> None:
    model = parser.parse_model(HEADER + STATE)
    before = run(model, FEEDS)

    hoist_invariants(model)

    loop, body = loop_of(model.graph)
    assert list(loop.input) == ["n", "go", "x"]
    assert list(loop.output) == ["y", "all"]
    # The transposition of the weights and the constant are computed before the loop.
    assert {node.op_type for node in body.node} == {"MatMul", "Mul", "Add", "Identity"}
    for expected, found in zip(before, run(model, FEEDS), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_nested_loops_keep_their_results(count: int) -> None:
    model = parser.parse_model(HEADER + NESTED)
    feeds = {
        "n": np.array(count, np.int64),
        "x": np.array([1, 2], np.float32),
        "w": np.array([3, 5], np.float32),
    }
    before = run(model, feeds)

    hoist_invariants(model)

    np.testing.assert_array_equal(run(model, feeds)[0], before[0])
    _, outer = loop_of(model.graph)
    inner_loop, inner = loop_of(outer)
    assert len(inner_loop.input) == 3
    assert [node.op_type for node in inner.node if node.op_type != "Identity"] == ["Sub", "Add"]


def test_equal_names_in_two_loops_stay_apart() -> None:
    model = parser.parse_model(HEADER + SIBLINGS)
    feeds = {"n": np.array(3, np.int64), "x": np.array([1], np.float32)}

    hoist_invariants(model)

    names = [name for part in graphs(model.graph) for name in defined(part)]
    assert len([name for name in names if name.startswith("k")]) == 2
    assert len({name for name in names if name.startswith("k")}) == 2
    np.testing.assert_array_equal(run(model, feeds)[0], [1 * 2**3 + 5 * 3])


def test_random_numbers_are_drawn_in_every_iteration() -> None:
    model = parser.parse_model(
        HEADER
        + """
        agraph (int64 n, float[3] x) => (float[N,3] all) {
            last, all = Loop (n, , x) <body = body (int64 i, bool c, float[3] s)
                => (bool d, float[3] t, float[3] t_all) {
                d = Identity (c)
                drawn = RandomUniform <shape = [3]> ()
                t = Mul (drawn, s)
                t_all = Neg (drawn)
            }>
        }
        """
    )
    hoist_invariants(model)

    drawn = run(model, {"n": np.array(5, np.int64), "x": np.ones(3, np.float32)})[0]
    assert len(np.unique(drawn)) == drawn.size


def test_state_that_a_caller_reads_stays_when_it_is_an_output() -> None:
    model = parser.parse_model(
        HEADER
        + """
        agraph (int64 n, float[1] x, float[1] w) => (float[1] y, float[1] w_after) {
            y, w_after = Loop (n, , x, w) <body = body (
                int64 i, bool c, float[1] s, float[1] v
            ) => (bool d, float[1] t, float[1] u) {
                d = Identity (c)
                t = Add (s, v)
                u = Identity (v)
            }>
        }
        """
    )
    feeds = {
        "n": np.array(2, np.int64),
        "x": np.array([1], np.float32),
        "w": np.array([10], np.float32),
    }
    hoist_invariants(model)

    assert [array.tolist() for array in run(model, feeds)] == [[21.0], [10.0]]


def test_what_nothing_reads_goes() -> None:
    model = parser.parse_model(
        HEADER
        + """
        agraph (float[1] x) => (float[1] y)
        <float[1] unused = {1.0}, float[1] used = {2.0}> {
            idle = Add (x, unused)
            idle_too = Neg (idle)
            same = Identity (x)
            y = Mul (same, used)
        }
        """
    )
    hoist_invariants(model)

    assert [node.op_type for node in model.graph.node] == ["Mul"]
    assert [constant.name for constant in model.graph.initializer] == ["used"]


def test_renaming_reaches_what_a_loop_reads_of_its_surroundings() -> None:
    model = parser.parse_model(HEADER + STATE)
    hoist_invariants(model)
    before = run(model, FEEDS)

    rename_all(model.graph, lambda name: f"part/{name}")

    assert all(
        name.startswith("part/") for node in nodes(model.graph) for name in node.input if name
    )
    renamed = run(model, {f"part/{name}": array for name, array in FEEDS.items()})
    np.testing.assert_array_equal(renamed[0], before[0])


def test_example_in_the_documentation() -> None:
    assert doctest.testmod(hoisting).attempted > 0
    assert doctest.testmod(hoisting).failed == 0
