"""Examples of documents that were written for other products, sent as they stand there: host and secrets apart."""

from __future__ import annotations

from typing import Any

import orjson

from tests.house import House


class Caller:
    """A program that was written for one of them: it shows what that one wanted to be shown."""

    def __init__(self, house: House, **shown: str) -> None:
        self.client = house.app.test_client(use_cookies=False)
        self.shown = {name.replace("_", "-"): value for name, value in shown.items()}

    def __call__(self, method: str, path: str, body: str | dict[str, Any] | None = None, status: int = 200) -> Any:
        """The answer's JSON; its text where it is none."""
        data = body if isinstance(body, str) else orjson.dumps(body) if body is not None else None
        headers = {**self.shown, **({"Content-Type": "application/json"} if body is not None else {})}
        answer = self.client.open(path, method=method, data=data, headers=headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json if answer.is_json else answer.text


def unlike(found: Any, shown: Any, path: str = "") -> list[str]:
    """Where an answer is not as the document shows it: a member that is missing, or of another type."""
    match shown:
        case dict():
            if not isinstance(found, dict):
                return [f"{path}: {found!r}"]
            missing = [f"{path}.{name} is missing" for name in shown.keys() - found.keys()]
            return missing + [
                each
                for name in shown.keys() & found.keys()
                for each in unlike(found[name], shown[name], f"{path}.{name}")
            ]
        case list():
            if not isinstance(found, list) or len(found) < bool(shown):
                return [f"{path}: {found!r}"]
            return [each for item in found for each in unlike(item, shown[0], f"{path}[]")] if shown else []
        case None:
            return []
    alike = isinstance(found, int | float) if type(shown) in (int, float) else type(found) is type(shown)
    return [] if alike else [f"{path}: {found!r}"]
