# One image for every process of the desk; docker-compose.yml says which command each one runs.
# `make check-image` runs the same install steps without Docker.

FROM node:24-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df AS javascript
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS python
WORKDIR /app
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.txt

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_COLLECTED=true \
    ARB_HOME=/tmp/arbdesk \
    LAKE_URL=/lake \
    STORE_SPILL_DIR=/spill
RUN useradd --system --create-home --uid 10001 desk
WORKDIR /app
COPY --from=python /opt/venv /opt/venv
COPY --from=javascript /app/node_modules ./node_modules
COPY manage.py ./
COPY arbsite arbsite
COPY accounts accounts
COPY agents agents
COPY monitoring monitoring
COPY history history
COPY realtime realtime
COPY opportunities opportunities
COPY orderbook orderbook
COPY collectors collectors
COPY simulator simulator
COPY engine engine
COPY markets markets
COPY audit audit
COPY core core
COPY templates templates
COPY static static
RUN python manage.py collectstatic --noinput && mkdir -p /tmp/arbdesk /lake /spill && chown desk /tmp/arbdesk /lake /spill
USER desk
EXPOSE 8000
CMD ["python", "-m", "arbsite.web", "-b", "0.0.0.0", "-p", "8000", "--no-server-name", "arbsite.asgi:application"]
