"""One decoder under libFuzzer: `python tests/fuzz/fuzz.py NAME [libFuzzer's options] [corpus]`."""

import contextlib
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "lib")]

with atheris.instrument_imports(include=["pipeline", "calibration", "engines", "support", "mcap", "yaml"]):
    from support.decoders import DECODERS


def main() -> None:
    """Feed it until the options say to stop; an undocumented exception is a crash with its input kept."""
    decoder = DECODERS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        with contextlib.suppress(*decoder.errors):
            decoder.decode(data)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
