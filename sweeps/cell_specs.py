"""The specs of a cell's runs: trials, finals, and the bases that they are built on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import JsonValue

from benchmarks import metrics
from benchmarks.datasets.dataset import DataSource
from benchmarks.profiles import Profile
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import Budget, Direction, Precision, Role, RunSpec
from benchmarks.space_files import Section
from benchmarks.specification import Machine, data_of, specify
from models import registry
from sweeps import space
from sweeps.options import study_name
from sweeps.run_counts import list_bases
from sweeps.study_configuration import Sampler

SEED = 0
"""The base seed of all sweeps: what is repeated shall be equal."""


class CellSpecs:
    """Specifies the runs of a cell.

    Args:
        variant: its name.
        dataset: its name.
        profile: the sweep's.
        source: where the data is.
        sampler: replaces the one of the variant's space file.
        device: where runs are computed.
        precision: the numbers that layers compute with.
        start: the points that the study starts from, beside the recipe.
        changes: says by variant what replaces entries of its space file.
    """

    def __init__(
        self,
        variant: str,
        dataset: str,
        *,
        profile: Profile,
        source: DataSource,
        sampler: Sampler | None = None,
        device: Literal["cpu", "cuda"] = "cpu",
        precision: Precision = "32-true",
        start: Sequence[Mapping[str, JsonValue]] = (),
        changes: Callable[[str], Section] = lambda variant: Section(),
    ) -> None:
        self._changes, self._machine = changes, Machine(device=device, precision=precision)
        self.variant, self.dataset, self.profile = variant, dataset, profile
        self.task = registry.available()[variant].task
        self.study = study_name(variant, dataset, profile.name)
        self.space = self._space_of(variant)
        self.strategy = self.space.strategy.sampled_by(sampler)
        self.start: list[Any] = [self.space.point(point) for point in start]
        self.trial_budget = self.space.budget(profile, "trial")
        self.data = data_of(self.task, dataset, self.trial_budget, source)
        self.directions = metrics.directions(self.task, dataset)
        self.metric, self.direction = next(iter(self.directions.items()))
        self._base_variant = registry.variant(variant).base_variant
        self._source = source

    @property
    def objectives(self) -> list[Direction]:
        """The direction of each objective of the study: the primary metric, then a cost, if any."""
        return [self.direction] if self.strategy.cost is None else [self.direction, "minimize"]

    def identity(self) -> dict[str, Any]:
        """Says what must be equal for a study to go on."""
        base = self._base_variant
        return {
            "space": self.space.identity(),
            "start": self.start,
            "base": base and self._space_of(base).identity(),
            "budget": self.trial_budget.model_dump(mode="json"),
            "data": f"{self.data.state}, {self.data.sha256}",
            "strategy": self.strategy.model_dump(mode="json"),
            "lag": self.profile.lag,
            "startup": self.profile.startup,
            "warmup": self.profile.warmup,
            "threads": self.profile.threads,
            "device": self._machine.device,
            "seed": SEED,
        } | ({} if self._machine.precision == "32-true" else {"precision": self._machine.precision})

    def trial(self, number: int, params: Mapping[str, Any], place: int = 0) -> RunSpec:
        """Specifies a run of a trial.

        Args:
            number: of the trial.
            params: its searched hyper-parameters.
            place: of the run among the several seeds of the trial.
        """
        several = self.strategy.seeds > 1
        # All trials have the same seeds, so that they can be compared in pairs.
        seed = derive_seed(SEED, place=place) if several else derive_seed(SEED, trial=number)
        return self._spec("trial", params, seed, base=0)

    def final(self, number: int, params: Mapping[str, Any]) -> RunSpec:
        """Specifies the final with a number, of the best trial's hyper-parameters."""
        # The same seeds for every variant, so that finals can be compared in pairs.
        return self._spec("final", params, derive_seed(SEED, final=number), base=number)

    def bases(self, trials: int, finals: int) -> list[RunSpec]:
        """Specifies the bases of so many trials and finals, each once."""
        if self._base_variant is None:
            return []
        lower = self._space_of(self._base_variant)

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
        """Specifies a run. Trials are built on base 0, each final on one of its own."""
        return self._specified(
            self.variant, role, hyperparameters=params, seed=seed, base=self._base(base, role)
        )

    def _base(self, number: int, upper: Role) -> RunSpec | None:
        """Specifies the base with a number for a run of the role `upper`, if it needs one."""
        if self._base_variant is None:
            return None
        seed = derive_seed(SEED, base=number)
        return self._specified(self._base_variant, "base", seed=seed, budget_role=upper)

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
