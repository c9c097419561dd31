"""The world outside: database, state, HTTP."""
