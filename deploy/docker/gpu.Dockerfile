# The line on an NVIDIA RTX card, x86-64: TensorRT-RTX beside the CPU's runtimes. Never built so far (docs/deployment.md).
#   docker build -f deploy/docker/gpu.Dockerfile -t hlgfa-line:gpu .
#   docker run --gpus all ...: the driver is the host's, by the NVIDIA Container Toolkit
# The base has no CUDA toolkit: the libraries that an engine needs come with the wheels of tensorrt-rtx.
ARG BASE=nvidia/cuda:13.0.1-base-ubuntu24.04
FROM ${BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The wheel first, then what it needs in the tested versions, into an environment that is copied as it is.
RUN python3 -m venv /opt/hlgfa/venv \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --upgrade "pip>=23" \
 && /opt/hlgfa/venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/hlgfa/venv/bin/pip install --no-cache-dir --constraint constraints.txt \
    "$(ls /wheels/hlgfa_line-*.whl)[dashboard,gateways,metrics,tensorrt-rtx]"

FROM ${BASE}
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
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
