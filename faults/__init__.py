"""The fault suite: what breaks around Keypool and in it, played to a real gunicorn, as one table of figures."""
