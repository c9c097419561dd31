"""What every button of every page is for. Its name: the page, the method, where it leads, its value, its form's id."""

from __future__ import annotations

from tests.web.scriptless import (
    effects_account,
    effects_everywhere,
    effects_jobs,
    effects_keys,
    effects_logs,
    effects_pools,
    effects_providers,
)
from tests.web.scriptless.entry import Entries

EFFECTS: Entries = {
    **effects_everywhere.ENTRIES,
    **effects_keys.ENTRIES,
    **effects_jobs.ENTRIES,
    **effects_logs.ENTRIES,
    **effects_pools.ENTRIES,
    **effects_providers.ENTRIES,
    **effects_account.ENTRIES,
}
