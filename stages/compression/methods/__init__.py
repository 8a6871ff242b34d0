"""Compression methods; a module here is a method by being here (see ``stages.compression``)."""
