"""The method: redactions, losses and attention. It needs only torch."""
