"""The chosen configuration in production: what is exported, how large it is to be, and taken back.

``compose`` wires ``analyze export``: ``choice`` says which configuration goes, ``served`` how it is
to be started, ``sizing`` what it needs by what was measured; ``docker``, ``kubernetes``, ``kserve``
and ``readme`` spell that, ``models`` finds the files and ``folder`` writes. ``undo`` takes back
what ``analyze apply`` wrote.
"""
