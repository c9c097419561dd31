"""How long what people type may be: names fit a line of a table, lists fit a page."""

from __future__ import annotations

POOL_NAME = CLIENT_NAME = 60
DESCRIPTION = 500
MODEL = 200
"""As much of a model's name as is counted."""

MODELS = 500

LINE, NOTE = 200, 2_000
"""Words beside a key: its name, e-mail address and project, and a note. An import cuts what is longer."""
