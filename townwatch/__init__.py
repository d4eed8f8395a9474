"""Townwatch, the control room for coding agents. Its packages are the folders at the top of the repository."""

from pathlib import Path

__version__ = "0.1.0"

# The wheel holds the packages in this folder. In a checkout they lie beside it, where the package's path has to lead.
_here = Path(__file__).resolve().parent
if not (_here / "runtime").is_dir():
    __path__.append(str(_here.parent))
