# The line on a CPU, x86-64 or ARM64: ONNX Runtime and OpenVINO.
#   docker build -f deploy/docker/cpu.Dockerfile -t hlgfa-line:cpu .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
WORKDIR /src
COPY . .
# The wheel first, then what it needs in the tested versions, into an environment that is copied as it is.
RUN python3 -m venv /opt/hlgfa/venv \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --upgrade "pip>=23" \
 && /opt/hlgfa/venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --constraint constraints.txt \
    "$(ls /wheels/hlgfa_line-*.whl)[dashboard,gateways,metrics]"

FROM ${BASE}
COPY --from=build /opt/hlgfa/venv /opt/hlgfa/venv
RUN groupadd --gid 10001 hlgfa \
 && useradd --uid 10001 --gid hlgfa --groups video --create-home --home-dir /var/lib/hlgfa --shell /usr/sbin/nologin hlgfa \
 && install -d -o root -g hlgfa -m 0750 /etc/hlgfa
ENV PATH=/opt/hlgfa/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/hlgfa
# The journal, the archive and the logs lie here; everything else may be read-only.
VOLUME ["/var/lib/hlgfa"]
# Answered by `hlgfa metrics`, which shares the station's network in compose.yaml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["hlgfa"]
CMD ["run", "/etc/hlgfa/config.yaml"]
