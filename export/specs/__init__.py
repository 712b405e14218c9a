"""Specs: what each exported graph takes and gives, declared once.

Everything that must agree on the names, dtypes and axes of a graph derives them from here: the
traced functions, the exported files, the parity run and the documentation.

- `value`: an input or output of a graph with its dtype, its axes and its meaning.
- `declaration`: the inputs and outputs of a graph together, and the check of one call of it.
- `spec`: declarations that also draw random inputs, from ids to ids or from text to text.
- `signatures`: the four signatures of an exported SavedModel.
- `plan`: the plan of an export, made once before any work starts.
- `arrays`: batches of arrays, and texts as the arrays that a runtime takes.
"""
