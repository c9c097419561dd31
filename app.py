"""The composition root: builds the app and hands every part what it needs. Nothing else knows every module."""

from __future__ import annotations

import logging
import os
import random
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
from flask import Flask
from flask_migrate import Migrate
from sqlalchemy.orm import Session

from pool import cli, cli_backup
from pool import settings as settings_module
from pool.adapters import queries
from pool.adapters.backup import Backups
from pool.adapters.database import Database
from pool.adapters.days import add_up_days, forget_old_usage
from pool.adapters.eyes import DatabaseEyes
from pool.adapters.fetching import Fetcher
from pool.adapters.inventory import Inventory
from pool.adapters.jobs import JobRows
from pool.adapters.memory import MemoryState
from pool.adapters.moving import Moving
from pool.adapters.objects import forget_objects, objects
from pool.adapters.passwords import Passwords, weak
from pool.adapters.preferences import Preferences
from pool.adapters.prices import Prices
from pool.adapters.recorder import Recorder
from pool.adapters.redis import RedisState
from pool.adapters.restoring import counts
from pool.adapters.schema import NewerDatabase, first_come, upgrade
from pool.adapters.spool import Spool
from pool.adapters.tables import db
from pool.adapters.upstream import Upstream
from pool.adapters.vault import Vault, WrongKey, open_vault, try_ring
from pool.adapters.webhook import Webhook
from pool.admission import Admission
from pool.affinity import FOREVER, MOST_OBJECTS, Affinity, Made
from pool.alerting import EVERY_S as ALERTS_S
from pool.alerting import Alerting
from pool.checking import AT_ONCE, Checker
from pool.chores import Chore, Chores
from pool.core.catalogue import Catalogue
from pool.core.judge import Judge
from pool.core.state import PoolState
from pool.environment import BadStart, Environment, read_environment
from pool.importing_keys import Importer
from pool.jobs import Jobs
from pool.models import ModelList
from pool.recovery import EVERY_S, Due, Recovery
from pool.relay import Relay
from pool.settings import Settings
from pool.version import VERSION
from pool.web import mount
from pool.web.access import Access
from pool.web.forwarded import Forwarded
from pool.web.here import aside
from pool.web.proxy.entry import Proxy
from pool.web.redacting import hide

ROOT = Path(__file__).parent
DRAIN_S = 1.0
CATCH_UP_S = 1.0
SET_BACK_S = 10.0
CLOCKS_DIFFER_S = 3600.0
"""So far a clock may be ahead: what began later than that was begun by a wrong one."""

log = logging.getLogger("keypool")


@dataclass(slots=True)
class Keypool:
    """Everything that lives as long as a worker. Views reach it as `current_app.extensions["keypool"]`."""

    environment: Environment
    database: Database
    vault: Vault
    passwords: Passwords
    preferences: Preferences
    catalogue: Catalogue
    inventory: Inventory
    state: PoolState
    upstream: Upstream
    fetcher: Fetcher
    relay: Relay
    models: ModelList
    checker: Checker
    admission: Admission
    affinity: Affinity
    proxy: Proxy
    spool: Spool
    recorder: Recorder
    recovery: Recovery
    jobs: Jobs
    importer: Importer
    moving: Moving
    backups: Backups
    chores: Chores
    began_at: float

    def start(self) -> None:
        """Begin what runs beside requests."""
        if isinstance(self.state, RedisState):
            self.state.start()
        self.chores.start()
        gevent.spawn(self.database.optimize)

    def stop(self) -> None:
        """Write down what is left and let go of everything."""
        self.jobs.stop()
        self.chores.stop()
        if isinstance(self.state, RedisState):
            self.state.close()
        self.spool.close()
        self.recorder.tidy()
        self.upstream.close()
        self.fetcher.close()
        self.passwords.close()
        self.database.close()


def create_app(config: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Flask:
    """The Flask app, its database at this version, its catalogue loaded.

    `environment` stands for the process's own variables; `config` is Flask's. Raises `BadStart` with one sentence.
    """
    boot = read_environment(os.environ if environment is None else environment, ROOT)
    hide(boot.secrets())
    boot.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = Flask("pool", root_path=str(ROOT), instance_path=str(boot.instance))
    app.config.update(
        SECRET_KEY=boot.secret_key or _kept(boot.instance / "secret_key"),
        SQLALCHEMY_DATABASE_URI=boot.database_url,
        **(config or {}),
    )
    db.init_app(app)
    Migrate(app, db, directory=str(ROOT / "migrations"))
    try:
        upgrade(app, lambda: _try_ring(boot))
    except (NewerDatabase, WrongKey) as error:
        raise BadStart(str(error)) from None
    with first_come(boot.database_url):
        keypool = _assemble(boot)
        _settle_password(keypool)
    app.extensions["keypool"] = keypool
    mount(app)
    served = Forwarded(boot.forwarded_allow_ips).around(keypool.proxy.first(app.wsgi_app))
    app.wsgi_app = served  # type: ignore[method-assign]
    return app


def commands() -> Flask:
    """What `flask …` is given: its commands, which make the app itself only where no server runs."""
    app = Flask("pool", root_path=str(ROOT))
    cli.mount(app, create_app, ROOT)
    cli_backup.mount(app)
    return app


def _try_ring(boot: Environment) -> None:
    """Before anything is migrated, so that whoever started with a wrong key can go back to the version they had."""
    database = Database(boot.database_url)
    try:
        try_ring(database, boot.instance, boot.encryption_secret)
    finally:
        database.close()


def _assemble(boot: Environment) -> Keypool:
    database = Database(boot.database_url)
    try:
        vault = open_vault(database, boot.instance, boot.encryption_secret)
    except WrongKey as error:
        raise BadStart(str(error)) from None
    catalogue = Catalogue()
    preferences = Preferences(database, Settings, settings_module.check)
    spool = Spool(boot.instance / "spool")
    inventory = Inventory(database, vault, catalogue, spool.write)
    prices = Prices()
    recorder = Recorder(database, spool.folder, prices)
    upstream = Upstream()

    def settings() -> Settings:
        return preferences.current

    def refill() -> None:
        recorder.drain()
        state.restore(database.read(counts, time.time(), settings().quota_reset))

    state: PoolState = MemoryState()
    if boot.redis_url:
        state = RedisState(boot.redis_url, refill, instances=boot.workers)
    state.listen(catalogue.hear)
    inventory.announce = state.announce
    affinity = Affinity(state.announce, spool.write, time.time)
    state.listen(affinity.hear)
    judge = Judge(catalogue, state.announce, spool.write)
    relay = Relay(
        catalogue=catalogue,
        settings=settings,
        state=state,
        upstream=upstream,
        judge=judge,
        remember=spool.write,
        unseal=inventory.unseal,
        clock=time.time,
        monotonic=time.monotonic,
        pause=gevent.sleep,
        rng=random.Random(),
        user_agent=f"keypool/{VERSION}",
    )
    checker = Checker(
        upstream=upstream,
        catalogue=catalogue,
        judge=judge,
        settings=settings,
        unseal=inventory.unseal,
        revive=inventory.revive,
        remember=inventory.set_checked,
        clock=time.time,
        monotonic=time.monotonic,
        each=gevent.pool.Pool(AT_ONCE).map,
    )
    recovery = _recovery(database, catalogue, checker, judge)
    models = ModelList(relay, catalogue, settings, time.time, gevent.spawn)
    relay.lists_model = models.lists
    fetcher = Fetcher()
    relay.fetch = fetcher
    inventory.on_change(models.forget)
    preferences.on_change(_tell(boot))
    admission = Admission(state, settings, prices.of, time.time)
    access = Access(catalogue, settings, vault.digest, time.time)
    inventory.on_change(access.forget)
    jobs = Jobs(JobRows(database), time.time)
    moving = Moving(database, vault, inventory, preferences, settings_module.check)

    def known(prints: Sequence[bytes], pool_id: int) -> list[queries.KnownKey]:
        return database.read(queries.known_keys, prints, pool_id)

    def catch_up() -> None:
        preferences.catch_up()
        inventory.catch_up()

    keypool = Keypool(
        environment=boot,
        database=database,
        vault=vault,
        passwords=Passwords(),
        preferences=preferences,
        catalogue=catalogue,
        inventory=inventory,
        state=state,
        upstream=upstream,
        fetcher=fetcher,
        relay=relay,
        models=models,
        checker=checker,
        admission=admission,
        affinity=affinity,
        proxy=Proxy(access, relay, models, admission, catalogue, affinity, settings, time.time),
        spool=spool,
        recorder=recorder,
        recovery=recovery,
        jobs=jobs,
        importer=Importer(catalogue, vault.fingerprint, known, inventory.begin_import, aside),
        moving=moving,
        backups=_backups(database, vault, moving, recorder, lambda: _load(keypool)),
        chores=_chores(
            database, spool, recorder, recovery, affinity, jobs, state, settings, inventory.empty_bin,
            inventory.end_cooldowns,
            catch_up if boot.redis_url else None, _alerting(boot.alert_url, database, catalogue, settings),
        ),
        began_at=time.time(),
    )
    _load(keypool)
    return keypool


def _backups(
    database: Database, vault: Vault, moving: Moving, recorder: Recorder, settle: Callable[[], object]
) -> Backups:
    return Backups(
        database, vault, moving, version=VERSION, drain=recorder.drain, settle=settle, aside=aside
    )  # fmt: skip


def _load(keypool: Keypool) -> None:
    """What earlier runs left: their journal first, because the rows it becomes are loaded next."""
    boot = keypool.environment
    keypool.recorder.drain()
    keypool.preferences.load()
    keypool.inventory.found({"gemini": boot.gemini_url or "", "openai": boot.openai_url or ""})
    secrets_ = [("gemini", secret) for secret in boot.gemini_keys] + [("openai", secret) for secret in boot.openai_keys]
    keypool.inventory.load()
    keypool.inventory.merge_environment(secrets_, boot.proxy_key)
    keypool.affinity.load(
        Made(provider, name, key_id, holder, FOREVER if until is None else until)
        for provider, name, key_id, holder, until in keypool.database.read(objects, time.time(), MOST_OBJECTS)
    )
    keypool.state.restore(keypool.database.read(counts, time.time(), keypool.preferences.current.quota_reset))


def _tell(boot: Environment) -> Callable[[Settings], None]:
    """The log level is live, but for a start that says LOG_LEVEL."""

    def apply(settings: Settings) -> None:
        for name in (None, "gunicorn.error"):  # which hands nothing on to the root
            logging.getLogger(name).setLevel((boot.log_level or settings.log_level).upper())

    return apply


def _recovery(database: Database, catalogue: Catalogue, checker: Checker, judge: Judge) -> Recovery:
    def find(now: float, soon: float, looks: int, fewest: int, most: int) -> Due:
        keys = database.read(queries.due_keys, now, looks, fewest, most)
        return Due(keys, database.read(queries.due_models, soon, looks, fewest, most))

    def calm(key_id: int) -> bool:
        key = catalogue.keys.get(key_id)
        return key is not None and not judge.outages.of(key.provider).storm.kind

    return Recovery(checker, find, time.time, calm)


def _alerting(
    url: str | None, database: Database, catalogue: Catalogue, settings: Callable[[], Settings]
) -> Alerting | None:
    """None where nobody is to be told."""
    if url is None:
        return None
    return Alerting(
        DatabaseEyes(database, catalogue, lambda: settings().quota_reset, time.time),
        Webhook(url).tell,
        settings,
        told=lambda: database.read(queries.meta, "alerts"),
        keep=lambda text: database.write(queries.set_meta, "alerts", text),
        clock=time.time,
    )


def _chores(
    database: Database,
    spool: Spool,
    recorder: Recorder,
    recovery: Recovery,
    affinity: Affinity,
    jobs: Jobs,
    state: PoolState,
    settings: Callable[[], Settings],
    empty_bin: Callable[[], None],
    end_cooldowns: Callable[[Sequence[int]], int],
    catch_up: Callable[[], object] | None,
    alerting: Alerting | None,
) -> Chores:
    def keep() -> None:
        spool.catch_up()
        gevent.get_hub().threadpool.apply(spool.sync)

    def forget() -> None:
        recorder.prune(time.time() - settings().usage_retention_days * 86_400)

    def add_up() -> None:
        add_up_days(database, time.time())
        forget_old_usage(database, time.time())

    def forget_made() -> None:
        while database.write(forget_objects, time.time()):
            pass

    def forget_secrets() -> None:
        database.write(queries.forget_stale, time.time())

    def end_rests_to_come() -> None:
        key_ids = database.read(queries.rested_after, time.time() + CLOCKS_DIFFER_S)
        if key_ids:
            log.warning("the clock was set back: %d keys that rest by a later one are used again", len(key_ids))
            end_cooldowns(key_ids)

    holder = secrets.token_hex(8)
    beside = [Chore("what other workers changed", CATCH_UP_S, catch_up)] if catch_up else []
    if alerting is not None:
        beside.append(Chore("tell the webhook", ALERTS_S, alerting.look, alone=True))
    return Chores(
        [
            *beside,
            Chore("journal to disk", DRAIN_S, keep, at_end=True),
            Chore("journal into the database", DRAIN_S, recorder.drain, at_end=True),
            Chore("tidy the journal", 60.0, recorder.tidy),
            Chore("forget old requests", 3600.0, forget, alone=True),
            Chore("drop upstream objects that are over", 60.0, affinity.prune),
            Chore("add up the days", 300.0, add_up, alone=True),
            Chore("forget upstream objects that are over", 3600.0, forget_made, alone=True),
            Chore("forget answers and drafts", 60.0, forget_secrets, alone=True),
            Chore("empty the bin of what lay there for seven days", 3600.0, empty_bin, alone=True),
            Chore("find lost jobs, forget old ones", 10.0, jobs.tidy),
            Chore("look again at keys that were given up", EVERY_S, recovery.look, alone=True),
            Chore("end what rests since a moment to come", SET_BACK_S, end_rests_to_come, alone=True),
            Chore("planner statistics", 3600.0, database.optimize, alone=True),
        ],
        lambda chore, ttl_s: state.claim(chore, holder, ttl_s, time.time()),
    )


def _settle_password(keypool: Keypool) -> None:
    """`ADMIN_PASSWORD` wins over the stored one; without either one is made up and printed, once."""
    given = keypool.environment.admin_password
    stored = keypool.database.read(queries.meta, "password")
    if given:
        reason = weak(given)
        if reason:
            raise BadStart(f"ADMIN_PASSWORD is refused: {reason}; choose another one.")
        if not stored or not keypool.passwords.verify(given, stored):
            keypool.database.write(_new_password, keypool.passwords.encode(given))
    elif not stored:
        made_up = secrets.token_urlsafe(12)
        keypool.database.write(queries.set_password, keypool.passwords.encode(made_up))
        sys.stdout.write(
            f"\n  The admin password is  {made_up}\n  It is shown this once; change it when signed in.\n\n"
        )
        sys.stdout.flush()


def _new_password(session: Session, encoded: str) -> None:
    """Who signed in with another one before is signed out, as where it is changed on a page."""
    queries.set_password(session, encoded)
    ended = queries.end_other_sessions(session, 0)
    if ended:
        queries.add_to_trail(
            session, at=time.time(), who="admin", via="environment", ip="", action="password.change",
            object="password", before=None, after={"sessions ended": ended},
        )  # fmt: skip


def _kept(path: Path) -> str:
    """A random secret of this instance, made at the first start."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path.read_text().strip()
