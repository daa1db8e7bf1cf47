import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import ConfigError
from pipeline.ring import Ring

SHM = Path("/dev/shm")


def test_pixels_pass_between_processes_without_a_copy() -> None:
    with Ring.create(SHM, slots=2, slot_bytes=4096) as ring:
        script = (
            "from pipeline.ring import Ring\n"
            f"ring = Ring({ring.fd}, slots=2, slot_bytes=4096, writable=True)\n"
            "ring.view(1, (3, 4))[...] = 7\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, pass_fds=(ring.fd,))
        view = ring.view(1, (3, 4))
        assert (view == 7).all()
        assert (ring.view(0, (4096,)) == 0).all()
        del view


def test_a_reader_cannot_write() -> None:
    with Ring.create(SHM, slots=1, slot_bytes=4096) as ring:
        view = ring.view(0, (4, 4))
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
        del view


def test_nothing_is_left_in_shared_memory() -> None:
    before = set(SHM.iterdir())
    with Ring.create(SHM, slots=2, slot_bytes=4096):
        assert set(SHM.iterdir()) == before


@pytest.mark.parametrize(("slot", "shape"), [(2, (1,)), (-1, (1,)), (0, (4097,)), (0, (64, 65))])
def test_what_does_not_fit_is_refused(slot: int, shape: tuple[int, ...]) -> None:
    with Ring.create(SHM, slots=2, slot_bytes=4096) as ring, pytest.raises(ValueError, match="ring"):
        ring.view(slot, shape)


def test_close_is_idempotent() -> None:
    ring = Ring.create(SHM, slots=1, slot_bytes=4096)
    ring.close()
    ring.close()
    with pytest.raises(ValueError, match="ring"):
        ring.view(0, (1,))


def test_too_little_shared_memory_is_said_before_anything_runs() -> None:
    """In a mount namespace of its own, with a /dev/shm of 1 MiB."""
    script = (
        "from pathlib import Path\n"
        "from pipeline.ring import Ring\n"
        "from pipeline.config import ConfigError\n"
        "try:\n"
        "    Ring.create(Path('/dev/shm'), slots=8, slot_bytes=2**20)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    shell = f'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec {sys.executable} -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", shell],
        env={**os.environ, "SCRIPT": script},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert "found 1.0 MiB free in /dev/shm, expected 8.0 MiB" in done.stdout
    assert "--shm-size" in done.stdout


def test_a_directory_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        Ring.create(Path("/nowhere"), slots=1, slot_bytes=4096)


def test_a_large_ring_holds_what_is_written(tmp_path: Path) -> None:
    with Ring.create(SHM, slots=4, slot_bytes=1 << 20) as ring:
        writer = Ring(os.dup(ring.fd), slots=4, slot_bytes=1 << 20, writable=True)
        pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024), np.uint8)
        writer.view(3, pixels.shape)[...] = pixels
        view = ring.view(3, pixels.shape)
        np.testing.assert_array_equal(view, pixels)
        del view
        writer.close()
