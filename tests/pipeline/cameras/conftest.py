"""Basler's emulator must be asked for before pypylon is imported anywhere in the process."""

import os

os.environ["PYLON_CAMEMU"] = "2"
