# The coordinator. Written without a container engine, not built yet; `docker compose build` does, from the folder above.
# Two steps, so that no build tool is in the image; every package is pinned by its hash.
FROM python:3.12.12-slim-bookworm AS made
WORKDIR /source
COPY . .
RUN python -m venv /tegu \
    && /tegu/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement compose/requirements.lock \
    && /tegu/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home tegu && install -d -o tegu -g tegu /data
COPY --from=made /tegu /tegu
COPY compose/healthy.py /tegu/healthy.py
USER tegu
WORKDIR /data
ENTRYPOINT ["/tegu/bin/tegu"]
CMD ["--help"]
