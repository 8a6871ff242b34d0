"""How fast scoring is, side by side on one machine: the batch-1 loop, a padded batch, and the engine."""
