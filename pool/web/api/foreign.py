"""Moving in from another product: `POST /admin/import-from/{product}` takes its database as a file."""

from __future__ import annotations

from flask import Response

from pool.core.documents import PRODUCTS, Unreadable
from pool.core.faults import Fault
from pool.web.api.operations import operation
from pool.web.api.receiving import BYTES, FORM, receive
from pool.web.api.taking_in import ANSWERS, TakingAsked, taken_in
from pool.web.here import aside, keypool

MOST_BYTES = 512_000_000
HEADERS = {"encryption_key": "X-Encryption-Key"}


@operation(
    "POST", "/admin/import-from/<product>", tag="export", summary="Take in what another product left",
    query=TakingAsked, answers=ANSWERS, takes=(BYTES, FORM),
)  # fmt: skip
def import_from(product: str, query: TakingAsked) -> Response:
    """The SQLite file of `gpt-load` (1.x), `gemini-balance` or `one-api` (new-api, too): as the body, or as `file` of
    a form. gpt-load's ENCRYPTION_KEY goes into the field `encryption_key`, or the header `X-Encryption-Key`.

    With `dry_run` the answer says what would come of it. Groups become pools, upstreams providers, proxy keys client
    keys; `notes` says what has no place here. The keys come as one import, which can be undone. Databases that are no
    file are read by `flask keys import-from`.
    """
    if product not in PRODUCTS:
        message = f"Keypool knows {', '.join(PRODUCTS)}."
        raise Fault(404, "product_not_found", message, param="product", retryable=False, details={"allowed": PRODUCTS})
    received = receive(MOST_BYTES, HEADERS)
    try:
        key = received.fields.get("encryption_key", "")
        document = aside(keypool().moving.read_file, product, received.path, key)
    except Unreadable as error:
        raise Fault(400, "unreadable_database", str(error), param="file", retryable=False) from None
    finally:
        received.drop()
    return taken_in(document, query, "moved", product)
