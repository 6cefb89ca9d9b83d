"""Which row is better: objectives, constraints, order, Pareto front. Pure."""
