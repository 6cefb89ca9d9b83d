"""``analyze perf``: perf_analyzer's job under its flags, with figures that say how sure they are.

``flags`` declares the command line and ``reading`` makes ``options`` of it; ``levels`` says which
load comes next, ``windows`` when a figure is stable by perf_analyzer's rule, and ``figures`` what a
measurement comes to. ``text``, ``csv_text``, ``export`` and ``bars`` write it. All of that is pure.
``runs`` carries it out, ``subject`` asks the server what it serves, and ``live`` shows how it goes.
"""
