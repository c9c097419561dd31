"""Which key a request must go to because of the objects it uses, and whether they are its caller's to use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .affinity import Affinity, Made, holder_of
from .core.calls import ANTHROPIC, GEMINI, OPENAI, Call
from .core.faults import Fault
from .core.native.names import Mention, google_names, used
from .relay import Caller


class Pinning:
    """`providers` gives the slugs of all providers there are."""

    def __init__(self, affinity: Affinity, providers: Callable[[], Iterable[str]]) -> None:
        self._affinity = affinity
        self._providers = providers

    def owned(self, name: str, caller: Caller, dialect: str, param: str | None = None) -> Made | None:
        """An object, where it was made here. Raises `Fault` where somebody else made it."""
        made = self._affinity.find(name, self._providers())
        if made is not None and made.holder != holder_of(caller):
            raise not_yours(name, dialect, param)
        return made

    def pin(self, call: Call, caller: Caller, kept: Callable[[], bool] = lambda: True) -> None:
        """Give a call the key that made what its body uses.

        Raises `Fault` for what others made, and where no single key made all of it. What nobody made here is left to
        the upstream, but for the objects of OpenAI's own routes; `kept` tells whether an upstream keeps such objects
        at all: where the call is converted, whoever converts it knows better what to say.
        """
        strict = call.native is not None and call.dialect == OPENAI
        if not self._affinity and not strict:
            return
        first: Made | None = None
        if call.pin is not None:
            first = self._affinity.find(call.pin.name, self._providers())
        for mention in _mentions(call):
            made = self.owned(mention.name, caller, call.dialect, mention.param or None)
            if made is None:
                if strict and mention.param and kept():
                    raise not_yours(mention.name, call.dialect, mention.param)
                continue
            if first is not None and (first.key_id != made.key_id):
                raise _of_two_keys(first.name, made.name)
            first = first or made
        if first is not None and call.pin is None:
            call.pin = first.pin()
            if not call.model:
                call.provider = first.provider


def _mentions(call: Call) -> list[Mention]:
    # What is no JSON of a request may be anybody's file, and say anything.
    found = [Mention(name) for name in google_names(call.body)] if call.native is None or call.payload else []
    if call.model.startswith("tunedModels/"):
        found.append(Mention(call.model))
    if call.dialect in (OPENAI, ANTHROPIC) and call.payload and (call.native is not None or b'"file_id"' in call.body):
        found += used(call.payload)
    return found


def not_yours(name: str, dialect: str, param: str | None = None) -> Fault:
    """In the words of the upstreams themselves, who do not tell either whether there is such an object."""
    collection, _, object_id = name.rpartition("/")
    if dialect == GEMINI:
        message = f"You do not have permission to access {name!r}, or it does not exist."
        return Fault(403, "permission_denied", message, type="permission_error", retryable=False)
    code = "previous_response_not_found" if param == "previous_response_id" else "not_found"
    message = f"There is no {object_id!r} among the {collection} of this client key."
    return Fault(404, code, message, type="invalid_request_error", param=param or "id", retryable=False)


def _of_two_keys(one: str, other: str) -> Fault:
    message = (
        f"{one!r} and {other!r} were made with different keys, and no key can use both. Make them again: "
        "what one client key uploads within an hour goes to one key."
    )
    return Fault(400, "objects_of_two_keys", message, retryable=False)
