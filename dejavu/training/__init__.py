"""Training of one run: batches, losses, optimisation, checkpoints."""
