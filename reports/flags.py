"""Says what a reader must know of all tables: what is mixed, unfinished, or of few seeds."""

from __future__ import annotations

from benchmarks.records.record import DataState, RunRecord, SampleCounts
from reports.results import Cell, Results
from reports.searches import search_sentences
from reports.statistics.intervals import ENOUGH_SEEDS
from reports.statistics.ranking import place

FEW = 5
"""With fewer seeds, tables say in words that they are few."""


def flags(results: Results) -> list[str]:
    """Lists sentences on what a reader must know of all tables.

    They say what is mixed in a table that should not be, how hyper-parameters were chosen, and
    which figures are unfinished, of stand-in data, or of few seeds.
    """
    sentences = [
        f"{task} on {dataset} (profile {profile}): {what}."
        for (task, dataset, profile), whats in mixtures(results).items()
        for what in whats
    ]
    sentences += search_sentences(results)
    sentences += [f"A run outside cells is left out: {why}." for why in results.unreadable[:3]]
    if (more := len(results.unreadable) - 3) > 0:
        sentences.append(f"So are {more} more runs outside cells.")
    if results.damaged:
        sentences.append(
            f"{len(results.damaged)} damaged runs are left out ({results.damaged[0]}): "
            "`capsbench resume --results RESULTS` re-runs them."
        )
    if len(found := sorted({cell.profile for cell in results.cells})) > 1:
        sentences.append(f"Profiles {', '.join(found)} are in these tables: compare within one.")
    if unfinished := [cell for cell in results.cells if cell.progress not in ("done", "failed")]:
        sentences.append(f"{len(unfinished)} of {len(results.cells)} cells are not finished.")
    standin = dict.fromkeys(c.dataset for c in results.cells if DataState.stand_in in c.states)
    if standin:
        sentences.append(f"Stand-in data, whose figures say nothing of it: {', '.join(standin)}.")
    few = {len(cell.scored) for cell in results.cells if cell.scored}
    if few and min(few) < FEW:
        sentences.append(
            f"Some means are over {min(few)} seeds: so few can show large differences only."
            if min(few) >= ENOUGH_SEEDS
            else f"Some means are over {min(few)} seed{'s' if min(few) > 1 else ''}: that is too "
            "few for an interval and for a comparison, which need three."
        )
    return sentences


def mixtures(results: Results) -> dict[tuple[str, str, str], list[str]]:
    """Lists what should be equal between the finals of a task, dataset and profile, and is not."""
    kept: dict[tuple[str, str, str], list[RunRecord]] = {}
    for cell in results.cells:
        kept.setdefault(place(cell), []).extend(cell.scored)
    found = {}
    for where, finals in kept.items():
        differs: dict[str, set[str]] = {
            "code versions": {r.provenance.code_version for r in finals},
            "versions of libraries": {_libraries(r) for r in finals},
            "processors": {r.provenance.cpu_capability for r in finals if r.spec.device == "cpu"},
            "states of data": {r.data.sha256 for r in finals if r.data},
            "devices": {r.spec.device for r in finals},
            "sets of test samples": {test_set(r.samples) for r in finals if r.samples},
        }
        mixed = [f"{len(v)} {name} are mixed here" for name, v in differs.items() if len(v) > 1]
        if mixed:
            found[where] = mixed
    return found


def _libraries(run: RunRecord) -> str:
    """Lists the versions of the libraries that decide the bits of a run."""
    return repr([run.provenance.versions.get(name) for name in run.provenance.DECIDE_BITS])


def data_states(cell: Cell) -> str:
    """Names the states of the data of a cell's finals; without a final those in the ledger."""
    return (
        " + ".join(sorted({run.data.state for run in cell.scored if run.data})) or cell.ledger.data
    )


def test_set(samples: SampleCounts) -> str:
    """Says how many test samples scored a run, and how they were chosen.

    Args:
        samples: the sample counts of the run's record.

    Returns:
        Words such as `2,000 of 10,000 test samples, stratified`.
    """
    if samples.test_selection == "all":
        return f"all {samples.test:,} test samples"
    whole = f" of {samples.test_of:,}" if samples.test_of > samples.test else ""
    return f"{samples.test:,}{whole} test samples, {samples.test_selection}"
