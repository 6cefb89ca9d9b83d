"""A campaign: the default, the search, two load curves, then a race of the finalists. Pure.

Owns which trial comes next and when to stop. Does not own what is tried in the search
(``strategies``), what is better (``ranking``), or the measuring. Whatever it answers is
computed from the rows it was told, so telling it a journal's rows is how a sweep goes on.
"""

from analyzer.stages.campaign import Campaign
from analyzer.stages.plan import Plan, Progress, Skipped, Stage, untried

__all__ = ["Campaign", "Plan", "Progress", "Skipped", "Stage", "untried"]
