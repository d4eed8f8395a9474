"""Settings of runners' connections in a house without rules and budgets."""

from collections.abc import Mapping
from typing import Any

from townwatch.actors.ports import Ref
from townwatch.contracts.link import Allowances
from townwatch.contracts.policy import VillagePolicy
from townwatch.transports.runners.ports import LinkSettings


class NoAllowances:
    """`townwatch.transports.runners.ports.Allowing`: no budgets are shared."""

    def linked(self, runner_id: str, link: Ref) -> None:
        pass

    def unlinked(self, runner_id: str, link: Ref) -> None:
        pass

    def for_runner(self, runner_id: str) -> Allowances | None:
        return None

    def held(self, runner_id: str, version: int, counted: Mapping[str, int]) -> None:
        pass


def no_policies(_villages: Mapping[str, str]) -> list[VillagePolicy]:
    return []


def link_settings(**more: Any) -> LinkSettings:
    """`more`: what is not as by default."""
    return LinkSettings(policies=no_policies, allowing=NoAllowances(), **more)
