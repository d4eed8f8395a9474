"""The demo: the runner at work in throw-away repositories, with a bundled agent's afternoon. No key, no network."""

from townwatch.runner.demo.play import run_demo as run_demo
