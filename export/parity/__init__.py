"""Parity: exported models compared with Keras, output for output.

- `sentences`: the texts that exported artefacts translate for the comparison.
- `reference`: the outputs of Keras, and how close a decision between two outputs was.
- `tasks/`: sources with their expected outputs, and how the outputs of an artefact are judged.
- `comparison`: runs artefacts on tasks and compares their outputs with those of Keras.
- `report`: the result of a parity run, as records and as JSON.
- `quality`: size, speed and scores of an int8 model beside those of its float32 model.
- `expectation`: the artefacts, inputs and expected outputs of an export, kept beside it.
- `record`: the name of the file with the expectation, and the check that a folder has it.
- `verification`: verifies an exported folder again with the help of that file.
"""
