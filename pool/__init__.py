"""Keypool: one endpoint in front of many upstream keys.

Where things are, and what may know what:

    app.py          may import everything; it builds the app and nothing else does
    pool/web        pages and routes: relay, jobs, core, adapters.queries, settings
    pool/relay.py   one request in, one answer out: core only; it is handed its adapters
    pool/adapters   the world outside (database, state, HTTP): core only
    pool/core       rules: the standard library and orjson; no clock, no I/O, no Flask

`tests/test_architecture.py` holds this.
"""
