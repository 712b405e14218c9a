"""The files that a server reads are protocol buffers as text, with correct batching and labels."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from keras_s2s.export.serving.configuration import (
    BATCH_SIZES,
    batching_parameters,
    models_config,
    monitoring_config,
    served_models,
    write_configuration,
)


def test_batch_sizes_rise_to_the_largest_batch() -> None:
    text = batching_parameters()
    listed = [int(line.split()[-1]) for line in text.splitlines() if "allowed" in line]

    assert listed == sorted(set(BATCH_SIZES))
    assert f"max_batch_size {{ value: {listed[-1]} }}" in text
    assert "pad_variable_length_inputs: true" in text  # ids of several lengths may meet


def test_the_highest_version_of_every_model_is_named(tmp_path: Path) -> None:
    for name in ("en-de/2", "en-de/10", "en-de/latest", "dates/1", "empty", ".tmp-1/3"):
        (tmp_path / "serving" / name).mkdir(parents=True)
    (tmp_path / "serving" / "models.config").write_text("old")

    assert served_models(tmp_path / "serving") == [("dates", 1), ("en-de", 10)]
    write_configuration(tmp_path / "serving", tmp_path)

    text = (tmp_path / "serving" / "models.config").read_text()
    assert text == models_config([("dates", 1), ("en-de", 10)])
    assert 'base_path: "/models/en-de"' in text
    assert 'version_labels { key: "stable" value: 10 }' in text
    assert (tmp_path / "serving" / "monitoring.config").read_text() == monitoring_config()


@pytest.mark.slow
def test_the_classes_of_tensorflow_serving_read_the_models() -> None:
    if importlib.util.find_spec("tensorflow_serving") is None:
        pytest.skip("needs tensorflow-serving-api, which this library does without")
    from google.protobuf import text_format

    servers = importlib.import_module("tensorflow_serving.config.model_server_config_pb2")

    found = text_format.Parse(models_config([("m", 7)]), servers.ModelServerConfig())
    (model,) = found.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("m", "/models/m", "tensorflow")
    assert list(model.model_version_policy.specific.versions) == [7]
    assert dict(model.version_labels) == {"stable": 7}
