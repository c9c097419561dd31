"""Why an answer of ours may be otherwise than a recording: rules, not files, so that unseen ones are explained too."""

from __future__ import annotations

# Google's own OpenAI layer.
THOUGHTS_APART = "thoughts come in reasoning_content, not as <thought> inside the content"
CALLS_FINISH_AS_CALLS = "a stream with calls finishes as tool_calls, as OpenAI's does; Google's layer says stop"
ONLY_OPENAIS_FINISHES = "finish_reason is one of OpenAI's words; Google's own stands in native_finish_reason"
THOUGHTS_ARE_COMPLETION = "completion_tokens hold the thoughts, as OpenAI's do; Google counts them in the total only"
USAGE_ONCE = "usage comes once, in a last chunk without choices; Google repeats it in every chunk"
SIGNATURE_ONCE = "a signature stands in extra_content of what it belongs to, and nowhere else"
GOOGLES_MEMBER = "a member of Google's own, which OpenAI does not know"
INDEX_AND_USAGE = "embeddings have their index and usage; Google's layer leaves out zeros and all usage"

# The native API.
TOTAL_IS_A_SUM = "the total is always the sum of what was read and written; here Google's is not"
CODE_AS_MARKDOWN = "code that Google ran is shown as Markdown: OpenAI has no part for it"
NO_SUCCESS = "an error with status 200 is an upstream's failure: another key is tried, then the client gets a 502"
A_PAGE_IS_NO_ANSWER = "an HTML page is no answer of an API: its status is kept where it is the request's, else 502"

# Refusals: (the corpus's word, our outcome).
_REACTIONS = {
    ("disable_key", "service_disabled"): "an owner may switch the service on: the key rests cooldown_hours",
    ("disable_key", "insufficient_quota"): "a bill may be paid, a cap raised: the key rests cooldown_hours",
    ("disable_key", "suspected"): "not among the known reasons: the key is dead only at the second refusal",
    ("retry_other_key", "overloaded"): "an overload: the same key once, then another",
    ("retry_other_key", "model_missing"): "another key is asked only where its own list of models has this one",
    ("return_to_client", "misrouted"): "a fault of the proxy's: the client gets a 502",
    ("return_to_client", "suspected"): "401 and 403 without a known reason are suspected: another key is tried",
    ("retry_same_later", "quota_minute"): "a quota that says nothing: the key rests a minute, another is tried",
    ("cool_down_key_model_until", "insufficient_quota"): "the whole key rests: what is spent is spent for every model",
    ("cool_down_key_model_until", "overloaded"): "shared capacity is nobody's quota: as an overload",
    ("cool_down_key_model_until", "not_entitled"): "a limit of 0 never comes back: asked again once a week",
}


def of_reaction(wanted: str, kind: str) -> str | None:
    return _REACTIONS.get((wanted, kind))
