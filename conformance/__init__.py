"""Holds recorded traffic and the choices of other gateways against the codecs: `make conformance CORPUS=path`."""
