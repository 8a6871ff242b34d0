"""The projection of tracked metrics into MLflow: reading what a suite has, logging it once."""
