"""Intervals and paired tests on per-item records: plain functions on tables, no torch."""
