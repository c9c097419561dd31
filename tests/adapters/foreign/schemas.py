"""The tables of other products, with the columns their own versions create, and rows as they write them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sqlite3
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# gpt-load 1.4, made by its ORM on SQLite.
GPT_LOAD = """
CREATE TABLE system_settings (
  id integer PRIMARY KEY AUTOINCREMENT, setting_key varchar(255) NOT NULL, setting_value text NOT NULL,
  description varchar(512), created_at datetime, updated_at datetime, UNIQUE (setting_key));
CREATE TABLE groups (
  id integer PRIMARY KEY AUTOINCREMENT, name varchar(255) NOT NULL, display_name varchar(255), proxy_keys text,
  description varchar(512), group_type varchar(50) DEFAULT 'standard', upstreams json NOT NULL,
  validation_endpoint varchar(255), channel_type varchar(50) NOT NULL, sort integer DEFAULT 0,
  test_model varchar(255) NOT NULL, param_overrides json, config json, header_rules json,
  model_redirect_rules json, model_redirect_strict numeric DEFAULT false, last_validated_at datetime,
  created_at datetime, updated_at datetime, UNIQUE (name));
CREATE TABLE group_sub_groups (
  id integer PRIMARY KEY AUTOINCREMENT, group_id integer NOT NULL, sub_group_id integer NOT NULL,
  weight integer DEFAULT 0, created_at datetime, updated_at datetime, UNIQUE (group_id, sub_group_id));
CREATE TABLE api_keys (
  id integer PRIMARY KEY AUTOINCREMENT, key_value text NOT NULL, key_hash varchar(128), group_id integer NOT NULL,
  status varchar(50) NOT NULL DEFAULT 'active', notes varchar(255) DEFAULT '',
  request_count integer NOT NULL DEFAULT 0, failure_count integer NOT NULL DEFAULT 0, last_used_at datetime,
  created_at datetime, updated_at datetime);
"""

# gpt-load 1.0: nothing is encrypted, and there are no aggregate groups.
GPT_LOAD_1_0 = """
CREATE TABLE system_settings (
  id integer PRIMARY KEY AUTOINCREMENT, setting_key varchar(255) NOT NULL UNIQUE, setting_value text NOT NULL,
  description varchar(512), created_at datetime, updated_at datetime);
CREATE TABLE groups (
  id integer PRIMARY KEY AUTOINCREMENT, name varchar(255) NOT NULL UNIQUE, display_name varchar(255), proxy_keys text,
  description varchar(512), upstreams json NOT NULL, validation_endpoint varchar(255),
  channel_type varchar(50) NOT NULL, sort integer DEFAULT 0, test_model varchar(255) NOT NULL, param_overrides json,
  config json, header_rules json, last_validated_at datetime, created_at datetime, updated_at datetime);
CREATE TABLE api_keys (
  id integer PRIMARY KEY AUTOINCREMENT, key_value varchar(700) NOT NULL, group_id integer NOT NULL,
  status varchar(50) NOT NULL DEFAULT 'active', request_count integer NOT NULL DEFAULT 0,
  failure_count integer NOT NULL DEFAULT 0, last_used_at datetime, created_at datetime, updated_at datetime,
  UNIQUE (key_value, group_id));
"""

# gemini-balance 2.2 on SQLite.
GEMINI_BALANCE = """
CREATE TABLE t_settings (
  id INTEGER NOT NULL PRIMARY KEY, key VARCHAR(100) NOT NULL UNIQUE, value TEXT, description VARCHAR(255),
  created_at DATETIME, updated_at DATETIME);
CREATE TABLE t_error_logs (
  id INTEGER NOT NULL PRIMARY KEY, gemini_key VARCHAR(100), model_name VARCHAR(100), error_type VARCHAR(50),
  error_log TEXT, error_code INTEGER, request_msg JSON, request_time DATETIME);
CREATE TABLE t_request_log (
  id INTEGER NOT NULL PRIMARY KEY, request_time DATETIME, model_name VARCHAR(100), api_key VARCHAR(100),
  is_success BOOLEAN NOT NULL, status_code INTEGER, latency_ms INTEGER);
"""
GEMINI_BALANCE_KEYS = """
CREATE TABLE t_api_keys (
  id INTEGER NOT NULL PRIMARY KEY, key_value TEXT NOT NULL UNIQUE, service VARCHAR(50) NOT NULL,
  status VARCHAR(20) NOT NULL, failure_count INTEGER, banned_at DATETIME, created_at DATETIME, updated_at DATETIME);
"""

ONE_API = """
CREATE TABLE channels (
  id integer PRIMARY KEY AUTOINCREMENT, type integer DEFAULT 0, key text, status integer DEFAULT 1, name text,
  weight integer DEFAULT 0, created_time bigint, test_time bigint, response_time integer, base_url text DEFAULT '',
  other text, balance real, balance_updated_time bigint, models text, `group` varchar(32) DEFAULT 'default',
  used_quota bigint DEFAULT 0, model_mapping varchar(1024) DEFAULT '', priority bigint DEFAULT 0, config text);
CREATE TABLE tokens (
  id integer PRIMARY KEY AUTOINCREMENT, user_id integer, key char(48) UNIQUE, status integer DEFAULT 1, name text,
  created_time bigint, accessed_time bigint, expired_time bigint DEFAULT -1, remain_quota bigint DEFAULT 0,
  unlimited_quota numeric DEFAULT false, used_quota bigint DEFAULT 0, models text, subnet text DEFAULT '');
CREATE TABLE users (
  id integer PRIMARY KEY AUTOINCREMENT, username text, role integer DEFAULT 1, status integer DEFAULT 1,
  quota bigint DEFAULT 0, used_quota bigint DEFAULT 0, `group` varchar(32) DEFAULT 'default');
"""

# new-api went on from one-api: its tokens have limits and groups of their own.
NEW_API = """
CREATE TABLE channels (
  id integer PRIMARY KEY AUTOINCREMENT, type integer DEFAULT 0, key text NOT NULL, open_ai_organization text,
  test_model text, status integer DEFAULT 1, name text, weight integer DEFAULT 0, created_time bigint,
  test_time bigint, response_time integer, base_url text DEFAULT '', other text, balance real,
  balance_updated_time bigint, models text, `group` varchar(64) DEFAULT 'default', used_quota bigint DEFAULT 0,
  model_mapping text, status_code_mapping varchar(1024) DEFAULT '', priority bigint DEFAULT 0,
  auto_ban integer DEFAULT 1, other_info text, tag text, setting text, param_override text, channel_info json);
CREATE TABLE tokens (
  id integer PRIMARY KEY AUTOINCREMENT, user_id integer, key char(48) UNIQUE, status integer DEFAULT 1, name text,
  created_time bigint, accessed_time bigint, expired_time bigint DEFAULT -1, remain_quota bigint DEFAULT 0,
  unlimited_quota numeric, model_limits_enabled numeric, model_limits varchar(1024) DEFAULT '',
  allow_ips text DEFAULT '', used_quota bigint DEFAULT 0, `group` text DEFAULT '', deleted_at datetime);
CREATE TABLE users (
  id integer PRIMARY KEY AUTOINCREMENT, username text UNIQUE, role integer DEFAULT 1, status integer DEFAULT 1,
  quota bigint DEFAULT 0, used_quota bigint DEFAULT 0, `group` varchar(64) DEFAULT 'default', deleted_at datetime);
"""


class Sealing:
    """What gpt-load does with a key before it stores it."""

    def __init__(self, encryption_key: str = "") -> None:
        self.key = encryption_key.encode()
        salt = b"gpt-load-encryption-v1"
        self.made = hashlib.pbkdf2_hmac("sha256", self.key, salt, 100_000, 32) if encryption_key else b""

    def value(self, secret: str) -> str:
        if not self.made:
            return secret
        nonce = os.urandom(12)
        return (nonce + AESGCM(self.made).encrypt(nonce, secret.encode(), None)).hex()

    def hash(self, secret: str) -> str:
        if not self.made:
            return hashlib.sha256(secret.encode()).hexdigest()
        return hmac.new(self.made, secret.encode(), "sha256").hexdigest()


def made(path: Path, schema: str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.executescript(schema)
    return database


def insert(database: sqlite3.Connection, table: str, **row: object) -> None:
    """A row; lists and dictionaries as JSON."""
    values = [json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()]
    names, places = ", ".join(f"`{name}`" for name in row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)


def gpt_load(path: Path, encryption_key: str = "") -> Path:
    """Two groups with keys, and an aggregate one over both."""
    database, sealing = made(path, GPT_LOAD), Sealing(encryption_key)
    insert(database, "system_settings", setting_key="proxy_keys", setting_value="sk-shared-0001,sk-gemini-group-01")
    common = {"test_model": "m", "created_at": "2026-01-02 03:04:05", "updated_at": "2026-01-02 03:04:05"}
    insert(database, "groups", id=1, name="gemini", display_name="Gemini", description="all of ours", sort=1,
           upstreams=[{"url": "https://generativelanguage.googleapis.com", "weight": 1}], channel_type="gemini",
           proxy_keys="sk-gemini-group-01,\nsk-gemini-group-02", config={"max_retries": 3},
           model_redirect_rules={"fast": "gemini-2.5-flash"}, model_redirect_strict=True, **common)  # fmt: skip
    insert(database, "groups", id=2, name="Silicon Flow", sort=2, channel_type="openai", proxy_keys="",
           upstreams=[{"url": "https://api.siliconflow.cn", "weight": 10}, {"url": "https://spare.test", "weight": 1}],
           config={"proxy_url": "http://user:hunter2@proxy.test:8080"},
           header_rules=[{"key": "X-A", "value": "b", "action": "set"}], **common)  # fmt: skip
    insert(database, "groups", id=3, name="everything", group_type="aggregate", upstreams=[], channel_type="openai",
           proxy_keys="", sort=3, **common)  # fmt: skip
    insert(database, "group_sub_groups", group_id=3, sub_group_id=1, weight=30)
    insert(database, "group_sub_groups", group_id=3, sub_group_id=2, weight=70)
    for group_id, secret, status, notes in (
        (1, "AIzaSyGroupOne0001" + "x" * 21, "active", "first"),
        (1, "AIzaSyGroupOne0002" + "x" * 21, "invalid", ""),
        (2, "sk-siliconflow0001" + "y" * 30, "active", ""),
    ):
        insert(database, "api_keys", group_id=group_id, key_value=sealing.value(secret), status=status, notes=notes,
               key_hash=sealing.hash(secret))  # fmt: skip
    database.commit()
    database.close()
    return path


def gemini_balance(path: Path, **changed: object) -> Path:
    """Settings as it writes them back at every start."""
    database = made(path, GEMINI_BALANCE)
    stored = {
        "API_KEYS": ["AIzaSyBalance0001" + "x" * 22, "AIzaSyBalance0002" + "x" * 22],
        "ALLOWED_TOKENS": ["sk-123456", "sk-second-token"],
        "AUTH_TOKEN": "sk-123456",
        "BASE_URL": "https://generativelanguage.googleapis.com/v1beta",
        "PAID_KEY": "AIzaSyBalancePaid" + "x" * 22,
        "VERTEX_API_KEYS": ["AQ.Ab8RN6Vertex" + "v" * 38],
        "VERTEX_EXPRESS_BASE_URL": "https://aiplatform.googleapis.com/v1beta1/publishers/google",
        "MAX_FAILURES": "3",
        "MAX_RETRIES": "7",
        "TIME_OUT": "300",
        "PROXIES": [],
        "CUSTOM_HEADERS": {},
        "FILTERED_MODELS": ["gemini-1.0-pro"],
        "STREAM_OPTIMIZER_ENABLED": "false",
        **changed,
    }
    for name, value in stored.items():
        insert(database, "t_settings", key=name, value=value, description=f"{name} configuration setting",
               created_at="2026-01-02 03:04:05.000000", updated_at="2026-01-02 03:04:05.000000")  # fmt: skip
    database.commit()
    database.close()
    return path
