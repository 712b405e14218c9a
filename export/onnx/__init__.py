"""The ONNX models of an export, with tokenizers and search loops inside.

- `packages`: checks that a translator can become ONNX: the packages, and the model's precision.
- `files`: writes the ONNX files of an export, and returns them as artefacts to compare with Keras.
- `models`: builds each model, from ids to ids or from text to text, with the search inside.
- `parts`: converts a model as two graphs, the encoder and one decoder step.
- `loops/`: writes searches as ONNX loops around the decoder step.
- `tokenizers`: writes the tokenizers as ONNX graphs, from text to ids and from ids to text.
- `quantization`: quantises models to 8 bits.
- `specs`: declares the inputs and outputs of each model.
- `conversion`: converts TensorFlow functions to ONNX graphs with tf2onnx.
- `graph/`: writes ONNX graphs node by node, and makes converted ones smaller and faster.
"""
