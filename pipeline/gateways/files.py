"""Files that the configuration names: passwords, certificates."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import ConfigError


def read_password(where: str, path: str) -> str:
    """The password in a file, without the line's end.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    try:
        password = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: {path} cannot be read. Write the password into it, alone.") from error
    if not password:
        raise ConfigError(f"{where}: {path} is empty. Write the password into it, alone.")
    return password


def require_file(where: str, path: str) -> str:
    """The path, if there is a file.

    Raises:
        ConfigError: there is none.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{where}: found {path}, which is no file. Name an existing one.")
    return path
