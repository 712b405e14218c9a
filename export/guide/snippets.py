"""Short programs in Python, JavaScript and C++ that run an exported ONNX model.

`tests/export/guide/test_readme.py` runs each program as it stands in the README of an exported
folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence


def python(text: str, translation: str, *, extensions: bool) -> str:
    """Returns the README section with a Python program and the text that it prints.

    Args:
        text: a source text.
        translation: the model's translation of it.
        extensions: whether the model needs onnxruntime-extensions.
    """
    packages, imports, register = "onnxruntime numpy", "import onnxruntime", ""
    if extensions:
        packages += " onnxruntime-extensions"
        imports += "\nimport onnxruntime_extensions as extensions"
        register = "options.register_custom_ops_library(extensions.get_library_path())\n"
    return f"""\
## ONNX Runtime in Python

The model `onnx/model.onnx` translates texts; its tokenizers and its search are inside. Run this
after `pip install {packages}`:

```python
import numpy as np
{imports}

options = onnxruntime.SessionOptions()
{register}session = onnxruntime.InferenceSession("onnx/model.onnx", options)
texts = np.array([{quoted(text)}], dtype=object)
(translations,) = session.run(["translation"], {{"text": texts}})
print(translations[0])
```

{fence(translation)}"""


def javascript(text: str, translation: str, ids: Sequence[int], *, extensions: bool) -> str:
    """Returns the README section with a JavaScript program and the text that it prints.

    ONNX Runtime for JavaScript has no SentencePiece. So for a model that needs SentencePiece, the
    program runs the model from ids to ids.

    Args:
        text: a source text.
        translation: the model's translation of it.
        ids: the ids of the source text, the end id last.
        extensions: whether the model needs onnxruntime-extensions, and with it SentencePiece.
    """
    install = (
        "Run this after `npm install onnxruntime-node`, or in a browser with `onnxruntime-web`:"
    )
    if extensions:
        opening = (
            "ONNX Runtime for JavaScript has no SentencePiece. Tokenize elsewhere and run the "
            f"model from ids to ids. {install}"
        )
        answer = ""
        body = f"""\
const session = await ort.InferenceSession.create("onnx/model.ids.onnx");
const ids = BigInt64Array.from({json.dumps(list(ids))}.map(BigInt));
const input_ids = new ort.Tensor("int64", ids, [1, ids.length]);
const input_lengths = new ort.Tensor("int64", BigInt64Array.of(BigInt(ids.length)), [1]);
const result = await session.run({{ input_ids, input_lengths }});
const length = Number(result.output_lengths.data[0]);
console.log(Array.from(result.output_ids.data.slice(0, length), Number).join(" "));"""
    else:
        opening, answer = install, f"\n\n{fence(translation)}"
        body = f"""\
const session = await ort.InferenceSession.create("onnx/model.onnx");
const text = new ort.Tensor("string", [{quoted(text)}], [1]);
const result = await session.run({{ text }}, ["translation"]);
console.log(result.translation.data[0]);"""
    return f"""\
## ONNX Runtime in JavaScript

{opening}

```javascript
import * as ort from "onnxruntime-node";

{body}
```{answer}"""


def cpp(text: str, translation: str, *, extensions: bool) -> str:
    """Returns the README section with a C++ program and the text that it prints.

    Args:
        text: a source text.
        translation: the model's translation of it.
        extensions: whether the model needs onnxruntime-extensions.
    """
    register = ""
    if extensions:
        register = '  options.RegisterCustomOpsLibrary(ORT_TSTR("libortextensions.so"));\n'
    return f"""\
## ONNX Runtime in C++

```cpp
#include <iostream>
#include <onnxruntime_cxx_api.h>

int main() {{
  Ort::Env env;
  Ort::SessionOptions options;
{register}  Ort::Session session(env, ORT_TSTR("onnx/model.onnx"), options);
  const char* texts[] = {{{quoted(text)}}};
  const int64_t shape[] = {{1}};
  Ort::AllocatorWithDefaultOptions allocator;
  auto text = Ort::Value::CreateTensor(allocator, shape, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  text.FillStringTensor(texts, 1);
  const char *input_names[] = {{"text"}}, *output_names[] = {{"translation"}};
  auto outputs = session.Run(Ort::RunOptions{{}}, input_names, &text, 1, output_names, 1);
  std::cout << outputs[0].GetStringTensorElement(0) << std::endl;
}}
```

{fence(translation)}"""


def fence(text: str) -> str:
    """Returns a text as a fenced block of Markdown."""
    return f"```text\n{text}\n```"


def quoted(text: str) -> str:
    """Returns a text as a string literal that Python, JavaScript and C++ read alike."""
    return json.dumps(text, ensure_ascii=False)
