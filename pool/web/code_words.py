"""Codes and Keypool's own sentences in words: what keys rest for, how requests end, what the log of a key says."""

from __future__ import annotations

import re

from flask_babel import gettext as _


def N_(text: str) -> str:
    return text


CODES = {
    "quota_day": N_("day quota"),
    "quota_minute": N_("minute quota"),
    "insufficient_quota": N_("credit spent"),
    "not_entitled": N_("not entitled"),
    "suspected": N_("refused once, under suspicion"),
    "overloaded": N_("upstream overloaded"),
    "errors": N_("too many errors"),
    "service_disabled": N_("service switched off"),
    "probing": N_("one request is trying it"),
    "limited": N_("at its own limit"),
    "disabled": N_("disabled by a person"),
    "dead": N_("key refused for good"),
    "rejected": N_("the request itself was refused"),
    "unreachable": N_("could not be reached"),
    "timeout": N_("no answer in time"),
    "broken": N_("broke off"),
    "empty": N_("an answer without content"),
    "error": N_("other error"),
    "other": N_("other error"),
    "failed": N_("other error"),
    "location": N_("refused for its location"),
    "misrouted": N_("refused how the key was sent"),
    "model_missing": N_("the upstream does not know the model"),
    "client_gone": N_("the client hung up"),
    "all_keys_cooling": N_("every key was cooling down"),
    "no_available_keys": N_("no usable key"),
    "model_not_found": N_("no such model"),
    "model_not_allowed": N_("a model that is not allowed"),
    "request_too_large": N_("the request is too large"),
    "budget_exceeded": N_("its budget is spent"),
    "rate_limit_exceeded": N_("too many requests"),
    "upstream_error": N_("the upstream failed"),
    "upstream_timeout": N_("the upstream gave no answer in time"),
    "upstream_stream_interrupted": N_("the upstream broke off"),
    "upstream_unavailable": N_("the upstream fails every key alike"),
    "deadline_exceeded": N_("no key answered in time"),
    "max_attempts": N_("too many keys failed"),
    "server_draining": N_("Keypool was stopping"),
    "internal_error": N_("an error in Keypool"),
    "pool_disabled": N_("the pool is switched off"),
    "key_gone": N_("the key asked for is gone"),
    "key_cooling": N_("the key asked for is cooling down"),
    "key_limited": N_("the key asked for is at its limit"),
    "key_disabled": N_("the key asked for is switched off"),
    "key_refused": N_("the key asked for is refused by its upstream"),
    "key_dead": N_("the key asked for is dead"),
    "wrong_provider": N_("the key asked for is another provider's"),
    "objects_of_two_keys": N_("what it names belongs to two keys"),
    "permission_required": N_("the user key lacks a permission"),
    "unsupported_provider": N_("its provider does not offer that"),
    "invalid_api_path": N_("not an address of the API"),
    "model_unreadable": N_("the body does not tell its model"),
    "ip_not_allowed": N_("an address that is not allowed"),
    "invalid_api_key": N_("the key is not valid"),
    "api_key_invalid": N_("the key is not valid"),
    "permission_denied": N_("permission denied"),
    "not_found": N_("not found"),
    "cancelled": N_("cancelled"),
    "server_error": N_("the upstream failed"),
    "invalid_request": N_("the request is not valid"),
    "invalid_request_error": N_("the request is not valid"),
    "invalid_argument": N_("the request is not valid"),
    "bad_request": N_("the request is not valid"),
    "invalid_value": N_("a value is not valid"),
    "integer_above_max_value": N_("a value is not valid"),
    "invalid_type": N_("a value is of the wrong type"),
    "invalid_json": N_("the body is not JSON"),
    "invalid_body": N_("the body cannot be read"),
    "invalid_form": N_("the form cannot be read"),
    "no_room": N_("no room left for what it needs"),
    "incomplete_body": N_("the body was cut"),
    "request_body_timeout": N_("the body did not come in time"),
    "invalid_model": N_("not the name of a model"),
    "invalid_schema": N_("a schema is not valid"),
    "invalid_function_arguments": N_("the arguments of a function are not valid"),
    "invalid_media_url": N_("the address of a medium is not valid"),
    "empty_array": N_("a list is empty"),
    "missing_required_parameter": N_("something required is missing"),
    "unsupported_parameter": N_("something asked for is not supported"),
    "unsupported_value": N_("a value is not supported"),
    "unknown_strategy": N_("no such policy"),
    "context_length_exceeded": N_("the prompt is too long for the model"),
    "content_filter": N_("stopped by a content filter"),
    "content_policy_violation": N_("stopped by a content filter"),
}

SENTENCES = (
    (r"(\d+) errors without a success", N_("%s errors without a success")),
    (r"200 without any content", N_("200 without any content")),
    (r"(\d+) with an HTML page", N_("%s with an HTML page")),
    (r"unexpected redirect \((\d+)\)", N_("%s, a redirect")),
    (r"The upstream answered (\d+) with an HTML page\.", N_("%s with an HTML page")),
    (r"The upstream answered (\d+), a redirect\.", N_("%s, a redirect")),
    (r"The upstream answered (\d+)\.", N_("%s without words")),
    (r"Keypool asked the upstream in a way it refused\.", N_("Keypool asked in a way it refused")),
    (r"refused by the upstream|refused", N_("refused by the upstream")),
    (r"its provider is switched off", N_("its provider is switched off")),
    (r"the answer is no list of models", N_("the answer is no list of models")),
    (r"upstream was silent for too long \(\w+\)", N_("silent for too long")),
    (r"the stream ended before any content", N_("the stream ended before any content")),
    (r"the (?:answer's body is too large(?: when unpacked)?|head of the answer is too long)",
     N_("the answer is too large")),
    (r"the answer's gzip body (?:was cut|is damaged)|the answer was cut", N_("the answer was cut")),
    (r"the answer was not (?:a final one|valid HTTP \(.*\))|the answer has a content coding nobody asked for",
     N_("the answer was not valid HTTP")),
    (r"the connection (?:broke|ended before the answer)|closed while it was (?:sent|read)"
     r"|a kept connection had ended, and a new one failed|the (?:exchange|engine) is closed",
     N_("the connection broke")),
    (r"the upstream's name stands for an address no API has", N_("its name stands for an address no API has")),
    (r"the upstream's name (?:was not resolved in time|cannot be resolved)", N_("its name cannot be resolved")),
    (r"TLS was refused(?: \((.*)\))?", N_("TLS was refused (%s)")),
    (r"no connection \((.*)\)", N_("no connection (%s)")),
    (r"no connection through the proxy|the proxy refused or could not be reached",
     N_("no connection through the proxy")),
    (r"the proxy URL is not valid|this kind of proxy is not supported(?:; .*)?", N_("the proxy URL is not valid")),
    (r"the request (?:method is not allowed|or its proxy URL is not valid|head is too long)"
     r"|the upstream (?:URL is not a plain http or https URL|port is out of range)",
     N_("the upstream URL is not valid")),
    (r"a request header holds a character that HTTP does not allow", N_("a header that HTTP does not allow")),
)  # fmt: skip
"""What is written down in English, as it comes from below these pages, and how it reads."""

_SENTENCES = tuple((re.compile(pattern), text) for pattern, text in SENTENCES)
_LAST_ERROR = re.compile(r"(?:(\d{3}) )?([a-z_]+)(?: (.*))?", re.DOTALL)


def code_text(code: str) -> str:
    """A code in words; an upstream's own that nobody knows is a code still."""
    text = CODES.get(code)
    return _(text) if text else code


def own_text(text: str) -> str | None:
    """A sentence of Keypool's own, in the visitor's language; None for what an upstream said."""
    for pattern, said in _SENTENCES:
        found = pattern.fullmatch(text)
        if found:
            return _(said) % (found[1] or "?") if "%s" in said else _(said)
    return None


def said_text(text: str) -> str:
    """A sentence of Keypool's own in the visitor's language, an upstream's as it is."""
    return own_text(text) or text


def reason_text(reason: str) -> str:
    """Why a key is not used: a code in words, or what the upstream said."""
    return code_text(reason) if reason in CODES else said_text(reason)


def last_error_text(text: str) -> str:
    """The last error of a key, as the log writes it: "503 overloaded The model is overloaded."."""
    found = _LAST_ERROR.fullmatch(text)
    if not found or found[2] not in CODES:
        return said_text(text)
    status, code, rest = found.groups()
    return " · ".join(part for part in (status, code_text(code), said_text(rest or "")) if part)
