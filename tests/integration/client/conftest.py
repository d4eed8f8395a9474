"""A whole runner, and somebody far from it."""

from tests.integration.runner.conftest import far as far
