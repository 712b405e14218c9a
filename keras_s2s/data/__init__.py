"""Data: from text files to batches of ids.

- `batches`: Which pairs share a batch, for every epoch. It sees lengths; ids and padding are the
  corpus'.
- `corpus`: Parallel text made ready for training: tokenised and filtered once, given out in
  epochs.
- `flat_arrays`: Whole numbers end to end, as many as come, in memory or in a file. It knows not
  what they are.
- `hosts`: The processes that train one model together: which part of a batch is whose, what they
  share.
- `length_order`: The rows of a corpus in the order of their lengths, in memory or in a file.
- `padding`: Rows of ids as one rectangular array. Nothing here knows text.
- `pairs`: Pairs of id lists, end to end in flat arrays, and padded batches of them. It knows no
  text.
- `reading`: Text files as lines and pairs of lines. What the text means, and its ids, are not
  known here.
- `resampling`: Pairs of texts that are segmented anew each time they are asked for, for training.
- `shapes`: Batches of few shapes, for compilers that compile for each: rows and lengths are
  rounded up.
- `word_vectors`: Pretrained embeddings: a text file of word2vec or GloVe into an embedding layer.
"""
