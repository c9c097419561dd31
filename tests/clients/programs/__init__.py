"""Programs that use a client as its documentation says. Each runs in a process of its own, and claims what it gets."""
