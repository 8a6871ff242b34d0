"""The stages of the pipeline, one thin module each, and the packages they share."""
