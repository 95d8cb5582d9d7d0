"""Makes the specs of a cell's runs: trials, finals, and the bases that they are built on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from benchmarks import metrics
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Budget, Direction, Role, RunSpec
from benchmarks.specs.profiles import Profile
from benchmarks.specs.space_files import Section
from benchmarks.specs.specification import USUAL, Machine, data_of, specify
from models import registry
from sweeps.cells.run_counts import list_bases
from sweeps.options import study_name
from sweeps.studies import space
from sweeps.studies.study_configuration import Sampler

SEED = 0
"""The base seed of all sweeps. It is fixed, so that a repeated sweep gives equal figures."""


class CellSpecs:
    """Specifies the runs of a cell.

    Args:
        variant: the name of the variant.
        dataset: the name of the dataset.
        profile: the profile of the sweep.
        source: where the data is.
        machine: where and how runs are computed.
        sampler: replaces the sampler of the variant's space file.
        start: the points that the study tries after the recipe.
        changes: returns, for the name of a variant, what replaces entries of its space file.

    Raises:
        InputError: if the space file or a name is wrong, or the data cannot be read.
    """

    def __init__(
        self,
        variant: str,
        dataset: str,
        *,
        profile: Profile,
        source: DataSource,
        machine: Machine = USUAL,
        sampler: Sampler | None = None,
        start: Sequence[Mapping[str, JsonValue]] = (),
        changes: Callable[[str], Section] = lambda variant: Section(),
    ) -> None:
        self._changes, self._machine = changes, machine
        self.variant, self.dataset, self.profile = variant, dataset, profile
        self.task = registry.available()[variant].task
        self.study = study_name(variant, dataset, profile.name)
        self.space = self._space_of(variant)
        self.configuration = self.space.configuration.sampled_by(sampler)
        self.start: list[Any] = [self.space.point(point) for point in start]
        self.trial_budget = self.space.budget(profile, "trial")
        self.data = data_of(self.task, dataset, self.trial_budget, source)
        self.directions = metrics.directions(self.task, dataset)
        self.metric, self.direction = next(iter(self.directions.items()))
        self.base_variant = registry.variant(variant).base_variant
        self._source = source

    @property
    def objectives(self) -> list[Direction]:
        """Returns the direction of each objective: the primary metric, then the cost, if any."""
        return [self.direction] if self.configuration.cost is None else [self.direction, "minimize"]

    def identity(self) -> dict[str, Any]:
        """Returns everything that must stay equal while a study grows, as JSON values by name."""
        base = self.base_variant
        return {
            "space": self.space.identity(),
            "start": self.start,
            "base": base and self._space_of(base).identity(),
            "budget": self.trial_budget.model_dump(mode="json"),
            "data": f"{self.data.state}, {self.data.sha256}",
            # The name in stored studies.
            "strategy": self.configuration.model_dump(mode="json"),
            "lag": self.profile.lag,
            "startup": self.profile.startup,
            "warmup": self.profile.warmup,
            "threads": self.profile.threads,
            "device": self._machine.device,
            "seed": SEED,
        } | ({} if self._machine.precision == "32-true" else {"precision": self._machine.precision})

    def trial(self, number: int, params: Mapping[str, Any], place: int = 0) -> RunSpec:
        """Makes the spec of a trial's run.

        Args:
            number: the number of the trial.
            params: the searched hyper-parameters of the trial.
            place: the number of the run's seed among the seeds of the trial, from 0.

        Returns:
            The spec.
        """
        several = self.configuration.seeds > 1
        # All trials have the same seeds, so that they can be compared in pairs.
        seed = derive_seed(SEED, place=place) if several else derive_seed(SEED, trial=number)
        return self._spec("trial", params, seed, base=0)

    def final(self, number: int, params: Mapping[str, Any]) -> RunSpec:
        """Makes the spec of a final.

        Args:
            number: the number of the final, from 0.
            params: the searched hyper-parameters of the best trial.

        Returns:
            The spec.
        """
        # Every variant has the same seeds, so that finals can be compared in pairs.
        return self._spec("final", params, derive_seed(SEED, final=number), base=number)

    def bases(self, trials: int, finals: int) -> list[RunSpec]:
        """Makes the specs of the bases that a cell's runs are built on, each once.

        Args:
            trials: the number of trials.
            finals: the number of finals.

        Returns:
            The specs; none if the variant needs no base.
        """
        if self.base_variant is None:
            return []
        lower = self._space_of(self.base_variant)

        def budget_of(role: Role) -> Budget:
            return lower.budget(self.profile, role)

        wanted = list_bases(trials, finals, budget_of)
        bases = [self._base(number, role) for number, role in wanted]
        return [base for base in bases if base is not None]

    def _space_of(self, variant: str) -> space.Space:
        return space.load_space(
            variant,
            registry.variant(variant),
            self.profile.name,
            dataset=self.dataset,
            changes=self._changes(variant),
        )

    def _spec(self, role: Role, params: Mapping[str, Any], seed: int, *, base: int) -> RunSpec:
        """Makes the spec of a run that is built on the base with the number `base`, if on any."""
        return self._specified(
            self.variant, role, hyperparameters=params, seed=seed, base=self._base(base, role)
        )

    def _base(self, number: int, upper: Role) -> RunSpec | None:
        """Makes the spec of base `number` for runs of the role `upper`; None if they need none."""
        if self.base_variant is None:
            return None
        seed = derive_seed(SEED, base=number)
        return self._specified(self.base_variant, "base", seed=seed, budget_role=upper)

    def _specified(
        self,
        variant: str,
        role: Role,
        hyperparameters: Mapping[str, Any] = MappingProxyType({}),
        **rest: Any,
    ) -> RunSpec:
        changes = self._changes(variant)
        return specify(
            variant,
            self.dataset,
            profile=self.profile,
            role=role,
            hyperparameters={**changes.set, **hyperparameters},
            budget=changes.budget,
            source=self._source,
            machine=self._machine,
            **rest,
        )
