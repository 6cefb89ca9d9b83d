"""Models in processes of their own: an Executor runs in a child, and its server outlives it.

Values go in, values come out: control messages as JSON over a socket (``channel``), tensors through
anonymous shared memory (``arena``), nothing pickled. ``entry`` is what runs in the child,
``process_life`` and ``executor`` what stands for it in the server.
"""
