"""Specs: what each exported graph takes and gives, declared once.

- `arrays`: Batches of arrays as graphs take and give them, and texts as bytes or as valid UTF-8.
- `plan`: The plan of an export: what it will hold, decided once.
- `signatures`: The signatures of an exported SavedModel: names, dtypes and axes of each, declared
  once.
- `spec`: The one declaration of an exported graph: names, dtypes, axes of inputs and outputs;
  samples.
"""
