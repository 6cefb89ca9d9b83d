"""Where decisions are carried out: batches, instances, the pump, served models."""
