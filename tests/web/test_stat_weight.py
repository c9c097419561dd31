"""The page of statistics stays light where strangers ask for hundreds of models that nobody has."""

import time

from sqlalchemy import insert

from pool.adapters.tables import TALLY, TrafficHour
from tests.web.visitor import Visitor

MODELS = 120


def test_the_busiest_models_are_shown_and_the_file_has_all(house):
    hour = int(time.time() // 3600) * 3600
    rows = [
        dict.fromkeys(TALLY, 1)
        | {"hour": hour, "pool_id": 1, "client_key_id": 0, "model": f"no-such-model-{n:03}", "requests": 1000 - n}
        for n in range(MODELS)
    ]
    house.keypool.database.write(lambda session: session.execute(insert(TrafficHour), rows) and None)
    visitor = Visitor(house)
    page = visitor.see("/stat?window=24h")
    shown = [text for text, href in page.links if text.startswith("no-such-model-") and "model=" in href]
    assert shown == [f"no-such-model-{n:03}" for n in range(50)]
    assert visitor.get("/stat/models.csv?window=24h").data.count(b"no-such-model-") == MODELS
