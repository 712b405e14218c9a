"""TensorFlow Serving: the files it reads beside a SavedModel, and the rules it serves by.

Everything here that runs a SavedModel does so through TensorFlow's C API, as a server does, in a
program that never imports TensorFlow; nothing here imports it either.
"""
