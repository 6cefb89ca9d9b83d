"""What a search believes of what it has not measured, and what a measurement is worth. Pure.

``features`` makes numbers of candidates, ``gp`` learns functions of them, ``prior`` predicts by the
simulator what a configuration does, ``believe`` joins both, and ``acquire`` says where the next
measurement is worth most. ``bottleneck`` proposes for pipelines of several models.
"""
