"""What requests carry: generated tensors, files in perf_analyzer's forms, and real samples.

``source`` opens whatever ``--input-data`` names, ``fields`` says what the model takes, and
``assemble`` makes requests of samples. Everything but ``source`` and ``images`` is pure.
"""
