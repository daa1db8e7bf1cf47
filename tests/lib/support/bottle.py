"""Where the real bottles lie, and what is said when they are not there."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HLGFA_DATA", ROOT.parent / "shared" / "data"))
BOTTLE = DATA / "mvtec_ad" / "bottle"

needs_bottle = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not BOTTLE.is_dir(),
        reason=f"REAL PARTS MISSING: no {BOTTLE}; nothing was measured on real parts. Set HLGFA_DATA.",
    ),
]
