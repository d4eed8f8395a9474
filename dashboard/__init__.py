"""The page: static files without a build step. `ROOT` is the folder to serve."""

import pathlib

ROOT: pathlib.Path = pathlib.Path(__file__).resolve().parent
