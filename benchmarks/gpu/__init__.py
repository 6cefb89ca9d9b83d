"""What has to be tried on a machine with a GPU; ``scripts/gpu/check`` runs it, part by part.

Each part is a function of a ``Ground``, and gives what it found as JSON. It raises ``NotTried``
where something is missing that it needs, and anything else where something is wrong.
"""
