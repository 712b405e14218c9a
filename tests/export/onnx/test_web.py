"""Exported models in onnxruntime-web under Node give the outputs of Keras."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.models import ids_model, text_model
from keras_s2s.export.onnx.parts import model_parts
from keras_s2s.export.onnx.quantization import quantized
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.parity.comparison import compare
from keras_s2s.export.runtimes.artefacts import BATCH_SIZES, Artefact, onnx_run
from keras_s2s.search import BeamSearch, GreedySearch
from support.translators import texts, tiny_translator
from support.web import web_run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_ids_and_strings_graphs_give_what_keras_gives(kind: str, web: Path, tmp_path: Path) -> None:
    search = GreedySearch(8) if kind == "greedy" else BeamSearch(3, n_best=2, max_length=8)
    translator = tiny_translator("char", "word", search=search)
    graph, text = ids_graph(translator, "ids", search), onnx_text_spec(translator)
    ids = ids_model(translator, graph, model_parts(translator))
    onnx.save(ids, tmp_path / "ids.onnx")
    onnx.save(text_model(translator, text, ids), tmp_path / "text.onnx")

    artefacts = [
        Artefact(
            "ids",
            web_run(tmp_path / "ids.onnx", web),
            ids=("ids", search),
            spec=graph.spec,
        ),
        Artefact("text", web_run(tmp_path / "text.onnx", web), spec=text),
    ]

    found = compare(translator, artefacts, ["", *texts(100)])
    assert [str(each) for each in found if not each.passed] == []
    sizes = {each.batch_size for each in found if each.artefact == "ids"}
    assert sizes == {*BATCH_SIZES, None}


@pytest.mark.slow
def test_int8_graphs_run_there(web: Path, tmp_path: Path) -> None:
    # Kernels for 8 bits round differently on each processor, and random weights make much of it:
    # after one step scores are 2 % apart, later ones may be of other tokens.
    search = GreedySearch(1)
    translator = tiny_translator("char", "word", search=search, units=64)
    graph = ids_graph(translator, "ids", search)
    model = ids_model(translator, graph, quantized(model_parts(translator)))
    onnx.save(model, tmp_path / "ids.onnx")
    inputs = [graph.spec.sample(5, 6, seed=1)]

    path = tmp_path / "ids.onnx"
    (here,), (there,) = (run(inputs) for run in (onnx_run(path), web_run(path, web)))
    assert np.isfinite(there["scores"]).all()
    np.testing.assert_allclose(there["scores"], here["scores"], rtol=0.1)


@pytest.mark.slow
def test_what_node_says_is_told(web: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"m\.onnx failed to run in Node"):
        web_run(tmp_path / "m.onnx", web)([])
