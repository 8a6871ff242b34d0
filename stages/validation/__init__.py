"""Running Great Expectations on tidy tables, and deterministic reports of what it found."""
