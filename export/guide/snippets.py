"""Ten lines each of Python, JavaScript and C++ that run an exported ONNX model.

`tests/export/guide/test_readme.py` runs all of them as they stand in the README of an exported
folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence


def python(text: str, translation: str, *, extensions: bool) -> str:
    """A section with the lines in Python, and what they print.

    Args:
        text: a source.
        translation: what the model gives for it.
        extensions: whether the model needs onnxruntime-extensions.
    """
    packages, imports, register = "onnxruntime numpy", "import onnxruntime", ""
    if extensions:
        packages += " onnxruntime-extensions"
        imports += "\nimport onnxruntime_extensions as extensions"
        register = "options.register_custom_ops_library(extensions.get_library_path())\n"
    return f"""\
## ONNX Runtime in Python

`onnx/model.onnx` takes texts and gives texts, tokenizers and search inside. With
`pip install {packages}`:

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
    """A section with the lines in JavaScript, and what they print.

    There is no SentencePiece in ONNX Runtime for JavaScript; such a model is run from ids to ids.
    """
    install = "With `npm install onnxruntime-node`, or `onnxruntime-web` in a browser:"
    if extensions:
        opening = (
            "ONNX Runtime for JavaScript has no SentencePiece: tokenize elsewhere, and run the "
            f"model from ids to ids.\n{install}"
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
    """A section with the lines in C++, and what they print."""
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
  const char *inputs[] = {{"text"}}, *outputs[] = {{"translation"}};
  auto found = session.Run(Ort::RunOptions{{}}, inputs, &text, 1, outputs, 1);
  std::cout << found[0].GetStringTensorElement(0) << std::endl;
}}
```

{fence(translation)}"""


def fence(text: str) -> str:
    """A text as a block of its own."""
    return f"```text\n{text}\n```"


def quoted(text: str) -> str:
    """A string literal of Python, JavaScript and C++ alike."""
    return json.dumps(text, ensure_ascii=False)
