"""Finding actors: pykka's registry, made fast, and an index by path.

pykka keeps its refs in a list, which it searches at every stop: 210 µs with 10 000 actors, 2 ms with 100 000.
`RefSet` has the list's methods that pykka uses, over a dict; it takes the list's place once, when this is imported.
tests/unit/runtime/test_pykka_contract.py keeps watch over what pykka expects of it.
"""

from collections.abc import Iterator
from typing import Any, overload

from pykka import ActorRef as PykkaRef
from pykka import ActorRegistry


class RefSet:
    """What pykka's registry does to its list, each in constant time: append, remove, `in`, copy, iterate."""

    def __init__(self, refs: "list[PykkaRef[Any]] | RefSet" = []) -> None:  # noqa: B006
        self._refs: dict[PykkaRef[Any], None] = dict.fromkeys(refs)

    def append(self, ref: PykkaRef[Any]) -> None:
        self._refs[ref] = None

    def remove(self, ref: PykkaRef[Any]) -> None:
        try:
            del self._refs[ref]
        except KeyError:
            raise ValueError(f"{ref!r} is not registered") from None

    def __contains__(self, ref: object) -> bool:
        return ref in self._refs

    def __iter__(self) -> Iterator[PykkaRef[Any]]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    @overload
    def __getitem__(self, index: slice) -> list[PykkaRef[Any]]: ...
    @overload
    def __getitem__(self, index: int) -> PykkaRef[Any]: ...
    def __getitem__(self, index: int | slice) -> PykkaRef[Any] | list[PykkaRef[Any]]:
        return list(self._refs)[index]


def install() -> None:
    """Put a RefSet in the place of pykka's list, with what is in it."""
    with ActorRegistry._actor_refs_lock:  # pyright: ignore[reportPrivateUsage]
        if not isinstance(ActorRegistry._actor_refs, RefSet):  # pyright: ignore
            ActorRegistry._actor_refs = RefSet(ActorRegistry._actor_refs)  # pyright: ignore


install()

_by_path: dict[str, PykkaRef[Any]] = {}


def name(path: str, ref: PykkaRef[Any]) -> None:
    """Make `ref` findable under `path`. The last one named wins."""
    _by_path[path] = ref


def unname(path: str, ref: PykkaRef[Any]) -> None:
    """Forget the path, unless another actor has taken it over."""
    if _by_path.get(path) is ref:
        del _by_path[path]


def whereis(path: str) -> Any | None:
    """The living actor of that path, or None.

    A supervised actor's path is made of ids from the top: `root/villages/village:demo`. It outlives even the restart
    of a supervisor, after which the children have new references: who holds a reference for long asks again on Down.
    """
    return _by_path.get(path)
