# The line on a Jetson, JetPack 6: TensorRT of the image. Never built so far (docs/deployment.md).
#   docker build -f deploy/docker/jetson.Dockerfile -t hlgfa-line:jetson .     # on the Jetson itself
#   docker run --runtime nvidia ...
# TensorRT's Python module is the image's own (Python 3.10), so the environment sees the system's packages.
ARG BUILD_BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel
ARG BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime
FROM ${BUILD_BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-dev python3-venv build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# pycuda is built against the image's CUDA; tensorrt is not installed: the image has it.
RUN python3 -m venv --system-site-packages /opt/hlgfa/venv \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --upgrade "pip>=23" \
 && /opt/hlgfa/venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --constraint constraints.txt \
    "$(ls /wheels/hlgfa_line-*.whl)[dashboard,gateways,metrics]" "pycuda>=2024.1"

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
