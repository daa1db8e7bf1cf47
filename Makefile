# Two commands do all of it on a fresh machine:
#   make run              monitor the simulated line until Ctrl-C
#   make run FRAMES=300   stop by itself and print the audit
#   make test             everything that CI checks, installs included
#   make delivery         readers against a station that is killed; long
#   make bench-peers      our model timed beside those of anomalib; MODEL=models/NAME
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= config.yaml
FRAMES ?=
MODEL ?= models/demo
PEERS_VENV ?= .venv-peers
FUZZ_VENV ?= .venv-fuzz
FUZZ_RUNS ?= 1000000
# Debian's Aravis (GigE Vision, USB3 Vision; the package of PyPI is old and GPL), and what PyGObject is built with;
# GStreamer's RTSP server, what the tests' V4L2 device is compiled with, an MQTT broker, the command ip, for
# the cable of the tests; systemd-analyze, which reads the units of deploy/; a browser.
DEBIAN_PACKAGES := gir1.2-aravis-0.8 libgirepository1.0-dev libcairo2-dev pkg-config gcc libc6-dev mosquitto iproute2 \
  systemd python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
  chromium fonts-dejavu-core
PYTHON_H = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run wheel docs test debian hooks unit computing alone test-gpu demo-model soak delivery bench-peers dashboard-picture fuzz clean

run: $(VENV)/.run-installed
	$(BIN)/hlgfa run $(CONFIG) $(if $(FRAMES),--frames $(FRAMES))

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: found $$($(PYTHON) --version), expected Python 3.10 or newer. Run: make PYTHON=python3.x"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: $(PYTHON) cannot make a virtual environment. On Debian: apt-get install python3-venv"; exit 2; }

# Run time only: no torch.
$(VENV)/.run-installed: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "Installing the run-time dependencies into $(VENV) ..."
	@$(PIP_INSTALL) --editable .[dashboard]
	@touch $@

# As root on Debian it installs what is missing; elsewhere it says so, and the tests that need it are skipped.
debian:
	@missing="$$(for package in $(DEBIAN_PACKAGES); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done)"; \
	[ -e "$(PYTHON_H)" ] || missing="$$missing python3-dev"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing" $$missing "..."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "warning: found no" $$missing"; tests of cameras, MQTT and the browser that need them will be skipped."; \
	  echo "As root run: apt-get install" $$missing"; then: make clean test"; \
	fi

# The extra aravis is left out where it could not be built.
$(VENV)/.test-installed: setup.cfg constraints.txt | $(VENV)/bin/python debian
	@echo "Installing the test dependencies into $(VENV) ..."
	@aravis="$$(pkg-config --exists gobject-introspection-1.0 cairo && [ -e "$(PYTHON_H)" ] && echo ,aravis)"; \
	$(PIP_INSTALL) --editable ".[train,backbones,timm,int8,pylon,genicam,video,recording,gateways,snap7,metrics,dashboard,tensorrt-rtx,dev$$aravis]"
	@touch $@ $(VENV)/.run-installed

test: hooks docs unit

# ruff, its format, mypy --strict, the import contract: the same as before each commit.
hooks: $(VENV)/.test-installed
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pre-commit run --all-files

# What only computes, the longest first. A file stays with one of the two, which trains for it once.
COMPUTING := tests/real_data $(addprefix tests/tools/,test_compare_methods.py test_build_engine.py \
  test_train_calibrate_evaluate.py test_build_engine_int8.py test_roi.py test_baselines.py benchmark host \
  test_fit_cache.py test_peers.py test_review.py test_schemas.py test_teaching_steps.py test_training_settings.py \
  test_wire_docs.py) tests/engines tests/calibration tests/contracts/test_engine_contract.py tests/test_demo_model.py \
  tests/fuzz tests/deploy tests/upgrade
# What measures times, or has real devices, deadlines under a second or processes that must not fall silent: one at a time.
ALONE := tests/faults tests/contracts/test_camera_contract.py tests/pipeline/cameras \
  $(addprefix tests/pipeline/,gateways history/test_history.py test_capture.py test_publisher.py test_realtime.py \
  test_station.py test_triggers.py test_watchdog.py test_worker.py) \
  $(addprefix tests/tools/,test_gateway_latency.py test_soak.py)
TWO := -n 2 --dist loadfile --no-loadscope-reorder
# What only computes gets what those leave that run alone, which mostly wait.
LAST_IN_LINE := $(shell chrt --idle 0 true 2>/dev/null && echo chrt --idle 0)
# All else starts lines, readers and browsers on ports of its own: two at a time.
unit: $(VENV)/.test-installed
	$(BIN)/pytest $(TWO) tests $(COMPUTING:%=--ignore %) $(ALONE:%=--ignore %)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line computing alone

computing:
	OMP_NUM_THREADS=1 $(LAST_IN_LINE) $(BIN)/pytest $(TWO) $(COMPUTING)

alone:
	$(BIN)/pytest $(ALONE)

# What needs an NVIDIA GPU, and nothing else; see docs/gpu.md. It fails where there is no GPU: a skip would prove nothing.
test-gpu: $(VENV)/.test-installed
	$(BIN)/pytest -m gpu --gpu

# The demo model is trained on the simulated part; see tools/demo_model.py.
demo-model: $(VENV)/.test-installed
	$(BIN)/python -m tools.demo_model

# Long: memory and losses over many parts; figures go to docs/measured.md.
soak: $(VENV)/.run-installed
	$(BIN)/hlgfa soak $(CONFIG) $(if $(FRAMES),--frames $(FRAMES))

# Does every reader get every result exactly once while the station is killed again and again? About 20 minutes.
delivery: $(VENV)/.run-installed
	$(BIN)/python -m tools.delivery_test run --triggers 100000 --rate-hz 100 --kills 20

# anomalib and all it brings, in an environment of its own: about 2 GB, more where torch's CUDA build is installed.
$(PEERS_VENV)/.installed: setup.cfg constraints.txt tools/peers/requirements.txt
	@$(MAKE) --no-print-directory VENV=$(PEERS_VENV) $(PEERS_VENV)/bin/python
	@echo "Installing anomalib into $(PEERS_VENV) ..."
	@$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable . --requirement tools/peers/requirements.txt
	@touch $@

# About five minutes on two cores; they should have nothing else to do.
bench-peers: $(PEERS_VENV)/.installed
	@mkdir -p out
	$(PEERS_VENV)/bin/python -m tools.peers --model $(MODEL) --json out/bench-peers.json --markdown docs/bench-peers.md

# docs/dashboard.png, as README shows the page.
dashboard-picture: $(VENV)/.test-installed
	$(BIN)/python -m tools.dashboard_picture

# Atheris in an environment of its own: libFuzzer's coverage slows nothing else down.
$(FUZZ_VENV)/.installed: setup.cfg constraints.txt tests/fuzz/requirements.txt
	@$(MAKE) --no-print-directory VENV=$(FUZZ_VENV) $(FUZZ_VENV)/bin/python
	@echo "Installing atheris into $(FUZZ_VENV) ..."
	@$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable .[recording] --requirement tests/fuzz/requirements.txt
	@touch $@

# Long: FUZZ_RUNS inputs for every decoder, or for those of DECODERS="request key"; findings go to out/fuzz.
fuzz: $(FUZZ_VENV)/.installed
	$(FUZZ_VENV)/bin/python tests/fuzz/campaign.py --runs $(FUZZ_RUNS) $(DECODERS)

# dist/hlgfa_line-VERSION-py3-none-any.whl: with the demo model, without torch; docs/deployment.md says what to do with it.
wheel: $(VENV)/bin/python
	@rm -rf build dist/hlgfa_line-*.whl
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/hlgfa_line-*.whl

# The pages of docs/ as a site in site/; a broken link is an error.
docs: $(VENV)/.test-installed
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) $(PEERS_VENV) $(FUZZ_VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
