"""Tiny models trained on planted worlds, compressed and scored: what the measures are calibrated on."""
