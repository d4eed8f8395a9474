"""Townwatch, the control room for coding agents. Its packages are the folders at the top of the repository."""

import os  # not pathlib: agents start the command at every tool, and it costs as much as the rest of that start

__version__ = "0.1.0"

# The wheel holds the packages in this folder. In a checkout they lie beside it, where the package's path has to lead.
_here = os.path.dirname(os.path.realpath(__file__))
if not os.path.isdir(os.path.join(_here, "runtime")):
    __path__.append(os.path.dirname(_here))
