"""Tables and figures from the evidence table: deterministic text and SVG, nothing computed anew."""
