"""What pages ask of the database: functions of a session that return plain values, run by `Database.read`."""

from pool.adapters.queries.facts import cap_counts, meta, set_password
from pool.adapters.queries.keys import KeyRow, key_page, key_row

__all__ = ["KeyRow", "cap_counts", "key_page", "key_row", "meta", "set_password"]
