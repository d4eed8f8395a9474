"""The version of a CLI from npm, without running it."""

import json
import os
from pathlib import Path

from townwatch.runner.agents import shape, shared_files

PACKAGE_BYTES = 1 << 20


def version_in_package(program: str) -> str:
    """Return the version in the npm package that a program is part of; "" where there is none."""
    place = Path(os.path.realpath(program)).parent
    for directory in (place, *place.parents[:3]):
        try:
            package = shape.maybe(json.loads(shared_files.read(directory / "package.json", most=PACKAGE_BYTES)))
        except (OSError, ValueError):
            continue
        if package.get("bin") is not None and isinstance(package.get("version"), str):
            return str(package["version"])
    return ""
