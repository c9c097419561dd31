"""Loaded by pytest before any other plugin: patches the standard library as gunicorn.conf.py does."""

from gevent import monkey

monkey.patch_all()
