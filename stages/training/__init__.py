"""Where checkpoints come from: models that exist already, and models trained on the suite's corpus."""
