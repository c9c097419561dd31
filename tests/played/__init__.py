"""Models that call tools, fill in schemas, see pictures and think, and refuse the histories that real ones refuse.

    upstream.script(play)

They act by rule, so that a client's program can say beforehand what it will be told: `turn.py` has the rules.
"""

from __future__ import annotations

import re

from tests.played import chat, gemini, media, responses
from tests.played.turn import Refused
from tests.upstream import Action, Request, gemini_error, openai_error


def play(request: Request) -> Action | None:
    """What the models answer; None for what is no question to a model."""
    found = re.search(r"/models/([^/:]+):(\w+)$", request.route)
    try:
        if found:
            return gemini.play(request, *found.groups())
        for route, answered in _OPENAI.items():
            if request.method == "POST" and request.route.endswith(route):
                return answered(request)
    except Refused as refused:
        return gemini_error(400, message=str(refused)) if found else openai_error(400, None, str(refused))
    return None


_OPENAI = {
    "/chat/completions": chat.play,
    "/responses": responses.play,
    "/images/generations": media.pictures,
    "/audio/speech": media.speech,
}
