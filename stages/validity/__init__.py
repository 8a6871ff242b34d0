"""The proof that the inference is right: it meets simulated truths and planted worlds, and must hold in each."""
