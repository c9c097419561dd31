# Two stages: wheels are installed in the first, the second has no compiler, no pip cache and no root.
# The base is named by tag, for its patches; docs/running.md tells how to pin it by digest.
FROM python:3.13-slim AS build
WORKDIR /keypool
COPY requirements.txt requirements-static.txt ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY tools/fetch_htmx.py tools/
RUN /venv/bin/python tools/fetch_htmx.py && rm -rf /venv/lib/python*/site-packages/pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /keypool --shell /usr/sbin/nologin keypool
WORKDIR /keypool
COPY --from=build /venv /venv
COPY --from=build /keypool/static/vendor static/vendor
COPY app.py gunicorn.conf.py CHANGELOG.md LICENSE ./
COPY migrations migrations
COPY pool pool
COPY static static
COPY templates templates
# Its user may write nothing here, so each start would compile everything once more: nearly a second of a processor.
RUN /venv/bin/python -m compileall -q app.py migrations pool
RUN install -d -o keypool -g keypool -m 700 /data
USER keypool
# A container's log is read by what collects it: an object a line keeps a stack together and a request findable.
ENV HOST=0.0.0.0 PORT=8000 KEYPOOL_INSTANCE=/data LOG_FORMAT=json PYTHONDONTWRITEBYTECODE=1
VOLUME /data
EXPOSE 8000
# As long as a stop may take: streams finish for graceful_timeout_s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/venv/bin/python", "-c", \
    "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
CMD ["/venv/bin/python", "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:create_app()"]
