# syntax=docker/dockerfile:1.7
# Two stages: one builds the wheel and installs it with the locked versions, the other holds the result and an interpreter.
FROM python:3.11.15-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock ./
# uv itself comes from the lock too, with its hashes; then the build tools, which stay in this stage.
RUN python -m venv /tools \
    && awk '/^uv==/{on=1} on && /^[a-z]/ && !/^uv==/{exit} on && !/^ *#/' requirements.lock > uv.lock \
    && /tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r uv.lock \
    && /tools/bin/uv pip sync --no-cache --python /tools/bin/python --require-hashes requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY infra/clickhouse/migrations infra/clickhouse/migrations
COPY streams streams
# The wheel and what it needs to run: versions and hashes as the lock says, tools for development left out.
RUN /tools/bin/python -m hatchling build -t wheel -d dist \
    && python -m venv --without-pip /opt/backstop \
    && /tools/bin/uv pip install --no-cache --python /opt/backstop/bin/python --compile-bytecode --constraint requirements.lock dist/*.whl

FROM python:3.11.15-slim-bookworm
COPY --from=build /opt/backstop /opt/backstop
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/backstop --shell /usr/sbin/nologin backstop \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/backstop
# Compiled kernels need a place that can be written; a worker of the compose file keeps them in its volume.
ENV PATH=/opt/backstop/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp/cache
WORKDIR /var/lib/backstop
USER 10001:10001
STOPSIGNAL SIGTERM
# A worker's own answer; commands that serve no health switch this off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["backstop"]
CMD ["worker", "--roles", "engine", "--health-port", "8080", "--metrics-port", "9100"]
