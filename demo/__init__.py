"""A demo: Keypool with made-up keys, callers and a past, before an upstream that is simulated. `make demo` runs it."""
