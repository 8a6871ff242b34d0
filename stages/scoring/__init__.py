"""Scoring texts with language models; nothing here knows a benchmark."""
