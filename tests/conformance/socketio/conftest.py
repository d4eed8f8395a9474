"""The suite runs at the service's own port, and at that of another process that carries them there."""

from tests.support.wire import way

__all__ = ["way"]
