"""Networks that share all but what they learnt with a model: untrained ones, and ones trained from other seeds."""
