"""The rules of a key pool, as plain values and functions."""
