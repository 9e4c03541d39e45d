"""Files that a command writes: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from protect.errors import ConfigError


def write(name: str | Path, data: bytes) -> None:
    """Put the whole file in place at once: whoever loads it meanwhile finds the old one or the new one.

    ``name`` is the path as the user gave it. Raises ConfigError where nothing can be written there.
    """
    path = Path(name)
    if not str(name) or path.is_dir():
        raise ConfigError(f"`{name}` is a directory; name a file" if str(name) else "the name of the file is empty")
    if path.exists() and not path.is_file():
        # /dev/stdout and the like: nothing to replace.
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _unwritable(name, error) from None
        return
    made = None
    try:
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}"[:100] + ".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(made).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(made).replace(path)
    except OSError as error:
        raise _unwritable(name, error) from None
    finally:
        if made is not None:
            Path(made).unlink(missing_ok=True)


def _unwritable(name: str | Path, error: OSError) -> ConfigError:
    if not Path(name).parent.is_dir():
        return ConfigError(f"`{name}` cannot be written: there is no directory `{Path(name).parent}`; make it first")
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"`{name}` cannot be written: {reason}; name another file, or see who may write there")
