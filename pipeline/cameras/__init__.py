"""Cameras behind one protocol, one small file per kind."""
