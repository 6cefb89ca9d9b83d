"""What a configuration would do under a load: the real schedulers in virtual time. Pure.

``service`` says how long a model takes, ``fitting`` learns that from some measurements, ``world``
has the schedulers decide in virtual time, and ``predict`` says what comes of it.
"""
