"""ONNX: the models of an export, with tokenizers and search loops inside.

- `conversion`: TensorFlow functions to ONNX graphs, through tf2onnx.
- `files`: The ONNX files of an export: which there are, under which names, and how each is
  proven.
- `graph/`: ONNX graphs by hand: names, nodes, and what makes a converted graph smaller and
  faster.
- `loops/`: Searches written as ONNX loops around the step of a model.
- `models`: The inference graphs as ONNX models: the search loop inside, standard operators only.
- `packages`: The packages that an ONNX export and its models need, and what a model must be to
  become ONNX.
- `parts`: A model in two pieces, encoder and step, as ONNX graphs: what every search is built
  around.
- `quantization`: Models in 8 bits: weights as int8, a quarter of the size, products in whole
  numbers.
- `specs`: What ONNX graphs declare: more than SavedModels, for a runtime gives what a caller asks
  for.
- `tokenizers`: The tokenizers as ONNX graphs: text to ids and ids to text.
"""
