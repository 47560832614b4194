"""What the store knows about a study, gathered for its report."""

from __future__ import annotations

from collections.abc import Sequence

from db import queries, study_queries
from ki67.pipeline.cards import ModelCard
from ki67.study import codec
from ki67.study.cutoff_cases import counted_cases
from ki67.study.material import Selection, StudyMaterial, gather
from ki67.study.model_sets import ModelSetEntry, list_model_sets
from ki67.study.people import Person, require
from ki67.study.plans import plan_history
from ki67.study.readings import ALGORITHM, list_readings, reading_history
from ki67.study.report_parts import AlgorithmState, CardFact, ReportFacts, RunFact
from ki67.study.stored import find_result
from ki67.study.studies import find_study, study_cases
from ki67.study.workplace import Workplace, reading
from ki67.types import ModelRef

STEPS = {"tumor": "Step 1, tumor", "cells": "Step 2, nuclei"}


def gather_facts(
    workplace: Workplace, person: Person, study_code: str, selection: Selection | None = None
) -> ReportFacts:
    """Everything that a report tells.

    Raises:
        StoreError: no such study; a reader or session that it does not have.
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="make reports")
    material = gather(workplace, person, study_code, selection)
    runs = _runs(workplace, material)
    return ReportFacts(
        material=material,
        versions=plan_history(workplace, person, study_code),
        members=study_cases(workplace, person, study_code),
        stored=list_readings(workplace, person, study_code),
        history=reading_history(workplace, person, study_code),
        algorithm_states=_algorithm_states(workplace, material),
        runs=runs,
        cards=_cards(list_model_sets(workplace, person) if runs else (), runs),
        counted=counted_cases(workplace, person, material),
    )


def _runs(workplace: Workplace, material: StudyMaterial) -> tuple[RunFact, ...]:
    found = []
    for value in material.algorithm:
        for code in value.result_codes:
            row = find_result(workplace, code)
            run = row.run
            found.append(
                RunFact(
                    case_code=value.case_code,
                    result_code=code,
                    run_code=run.code,
                    model_set=run.model_set,
                    models=tuple(sorted(codec.models_from_json(run.models).items(), reverse=True)),
                    backend=run.backend,
                    device=run.device,
                    precision=run.precision,
                    seed=run.seed,
                    software_version=run.software_version,
                    started_at=run.started_at,
                    positive=row.positive,
                    negative=row.negative,
                    flags=row.flags,
                )
            )
    return tuple(found)


def _algorithm_states(
    workplace: Workplace, material: StudyMaterial
) -> tuple[tuple[str, AlgorithmState], ...]:
    valued = {each.case_code for each in material.algorithm}
    taken = zip(material.readings.cases, material.readings.readers, strict=True)
    imported = {case for case, reader in taken if reader == ALGORITHM}
    with reading(workplace) as session:
        study = find_study(session, material.study.code)
        ids = {each.case.code: each.case.id for each in study_queries.study_cases(session, study.id)}
        scored = {code for code in material.cases if queries.results_of_case(session, ids[code])}

    def state(code: str) -> AlgorithmState:
        if code in valued:
            return "value"
        if code in imported:
            return "imported"
        return "not assessable" if code in scored else "not scored"

    return tuple((code, state(code)) for code in material.cases)


def _cards(sets: Sequence[ModelSetEntry], runs: Sequence[RunFact]) -> tuple[CardFact, ...]:
    """Each net once, in the order of the steps; the card is the one with the run's own hash."""
    installed = {card.sha256: card for entry in sets for card in (entry.tumor, entry.cells) if card}
    used: dict[tuple[str, ModelRef], ModelCard | None] = {}
    for run in runs:
        for step, ref in run.models:
            if ref is not None:
                used.setdefault((step, ref), installed.get(ref.sha256))
    ordered = sorted(used.items(), key=lambda each: (each[0][0] != "tumor", each[0][1].name))
    return tuple(CardFact(STEPS[step], ref, card) for (step, ref), card in ordered)
