"""The two ways a command reaches Keypool: a running server's admin socket, or an app of its own under the lock."""

from __future__ import annotations

import http.client
import json as json_
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import gevent
from flask import Flask
from werkzeug.test import Client

from pool.adapters.database import AlreadyRunning, acquire_instance_lock, server_locks
from pool.admin_socket import BY_SOCKET, socket_path
from pool.environment import BadStart, Environment, read_environment

LONGEST_S = 3600.0
JSON = "application/json"


class Closed(Exception):
    """There is no way in; the text says why, in one sentence."""


class Door(Protocol):
    """Speaks the management API."""

    def ask(
        self, method: str, path: str, json: Any = None, data: bytes | None = None, content_type: str = JSON
    ) -> tuple[int, bytes]:
        """Status and body of an answer."""
        ...

    def pause(self, seconds: float) -> None: ...


@contextmanager
def open_door(make: Callable[[], Flask], variables: Mapping[str, str], root: Path) -> Iterator[Door]:
    """The running server's socket; without one, an app that `make` makes. Raises `Closed`."""
    try:
        environment = read_environment(variables, root)
    except BadStart as error:
        raise Closed(str(error)) from None
    path = socket_path(environment.instance)
    if _answers(path):
        yield Socket(path)
        return
    with _alone(environment):
        try:
            app = make()
        except BadStart as error:
            raise Closed(str(error)) from None
        try:
            yield Within(app)
        finally:
            app.extensions["keypool"].stop()


@contextmanager
def _alone(environment: Environment) -> Iterator[None]:
    """As a server is: nobody else serves this instance meanwhile."""
    environment.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        try:
            for lock in server_locks(environment.instance, environment.database_url):
                held.callback(acquire_instance_lock(lock).release)
        except AlreadyRunning as error:
            raise Closed(f"{error}, and {socket_path(environment.instance)} does not answer.") from None
        yield


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Socket:
    """The server's admin socket."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def ask(
        self, method: str, path: str, json: Any = None, data: bytes | None = None, content_type: str = JSON
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=LONGEST_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LONGEST_S)
        try:
            connection.sock.connect(self._path)
            connection.request(method, path, _body(json, data), {"Content-Type": content_type, "Accept": "*/*"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Closed(f"The server at {self._path} does not answer ({type(error).__name__}).") from None
        finally:
            connection.close()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class Within:
    """An app in this process."""

    def __init__(self, app: Flask) -> None:
        self._client = Client(app)

    def ask(
        self, method: str, path: str, json: Any = None, data: bytes | None = None, content_type: str = JSON
    ) -> tuple[int, bytes]:
        answer = self._client.open(
            path, method=method, data=_body(json, data), content_type=content_type, environ_overrides={BY_SOCKET: True}
        )  # fmt: skip
        return answer.status_code, answer.get_data()

    def pause(self, seconds: float) -> None:
        """Jobs of this process go on meanwhile."""
        gevent.sleep(seconds)


def _body(json: Any, data: bytes | None) -> bytes | None:
    return data if json is None else json_.dumps(json).encode()
