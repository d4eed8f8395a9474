from tests.support.actors import conservation, events, quiet, world

__all__ = ["conservation", "events", "quiet", "world"]
