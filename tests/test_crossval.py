"""Cross-validation: how it divides, that it goes on where it stopped, what it pools."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ki67.errors import DataError, TrainingError
from ki67.pipeline.cards import read_card, write_model_folder
from ki67.training import crossval
from ki67.training.crossval import (
    Fold,
    Scheme,
    Trial,
    assignment_csv,
    cross_validate,
    make_folds,
)
from ki67.training.evaluate import Evaluated, Evaluation
from ki67.training.evaluate_files import read_figures, write_evaluation
from ki67.training.folder import read_folder
from ki67.training.loop import Plan
from ki67.training.report import report_of
from ki67.training.train import Material
from tests.annotated import make_folder
from tests.figures import counts, field
from tests.pipeline_fakes import fake_card


def test_a_fold_never_trains_on_a_patient_that_it_tests_even_from_another_folder(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "a", patients=["A", "A", "B", "C"], side=32))
    also = read_folder(make_folder(tmp_path / "b", patients=["B", "Z"], side=32))
    folds = make_folds(fields, also, Scheme(folds=3), seed=0)
    tested = [field.name for fold in folds for field in fold.test]
    assert sorted(tested) == sorted(field.name for field in fields)
    for fold in folds:
        assert not {field.patient for field in fold.test} & {field.patient for field in fold.train}
        assert any(field.patient == "Z" for field in fold.train)


def test_sources_left_out_make_one_fold_each_and_the_others_only_train(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "a", patients=["A", "B", "C", "D"], side=32))
    folds = make_folds(fields, (), Scheme(leave_out=(("left",),)), seed=0)
    assert len(folds) == 1
    assert {field.source for field in folds[0].test} == {"left"}
    assert {field.source for field in folds[0].train} == {"right"}
    rows = list(csv.DictReader(assignment_csv(folds).splitlines()))
    assert [row["role"] for row in rows].count("test") == 2
    assert [row["role"] for row in rows].count("train") == 2
    with pytest.raises(DataError, match="No picture has the source up: the sources are left, right"):
        make_folds(fields, (), Scheme(leave_out=(("up",),)), seed=0)
    with pytest.raises(DataError, match="left is left out twice"):
        make_folds(fields, (), Scheme(leave_out=(("left",), ("left", "right"))), seed=0)


def tiny_trial() -> Trial:
    plan = Plan("cells", 4, seed=0, batch=2, patch_px=64, device="cpu", threads=1, save_every=4)
    return Trial((plan,), Material(1, 1, 64), backend="torch", device="cpu")


def test_cross_validation_trains_and_evaluates_every_fold_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_folder(tmp_path / "data", patients=["A", "B", "C"], side=96)
    out = tmp_path / "out"

    def stopped(fold: Fold, *_: object, **__: object) -> None:
        raise KeyboardInterrupt(fold.name)

    with monkeypatch.context() as patch:
        original = crossval._run_fold
        patch.setattr(
            crossval,
            "_run_fold",
            lambda fold, *args, **kw: stopped(fold) if fold.name == "fold-2" else original(fold, *args, **kw),
        )
        with pytest.raises(KeyboardInterrupt, match="fold-2"):
            cross_validate(data, scheme=Scheme(folds=2), trial=tiny_trial(), seed=0, out=out)
    before = (out / "fold-1" / "evaluation.json").stat().st_mtime_ns
    pooled = cross_validate(data, scheme=Scheme(folds=2), trial=tiny_trial(), seed=0, out=out)
    assert (out / "fold-1" / "evaluation.json").stat().st_mtime_ns == before
    raw = json.loads((out / "crossval.json").read_text())
    assert pooled.headline.without_step_1 is not None
    assert raw["headline"]["without_step_1"]["fields"] == pooled.headline.without_step_1.summary.fields == 3
    assert raw["headline"]["without_step_1"]["patients"] == 3
    assert raw["headline"]["with_step_1"] is None
    assert raw["error_model"] is None
    card = read_card(out / "fold-1" / "models" / "cells")
    tuned = card.figures["tuned_on_training_pictures"]
    assert tuned["score_threshold"] == card.score_threshold
    assert tuned["fields"] == 2 - (len(read_figures(out / "fold-1" / "evaluation.json")) - 1)
    with (out / "fields.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 3
    with pytest.raises(TrainingError, match=r"assignment\.csv holds another division into folds"):
        cross_validate(data, scheme=Scheme(folds=3), trial=tiny_trial(), seed=0, out=out)
    longer = dataclasses.replace(tiny_trial(), encoder_weights="imagenet")
    with pytest.raises(TrainingError, match=r"plan\.json holds another training plan"):
        cross_validate(data, scheme=Scheme(folds=2), trial=longer, seed=0, out=out)


def test_left_out_laboratories_give_the_error_model_and_every_source_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_folder(tmp_path / "data", patients=["A", "B", "C", "D", "E", "F"], side=32)

    def measured(fold: Fold, *_: object, folder: Path, **__: object) -> None:
        made = [
            field(
                each.name,
                truth=(20, 80),
                without=counts(95, 5, 5, found=(22 + i, 78 - i)),
                source=each.source,
            )
            for i, each in enumerate(fold.test)
        ]
        fields = tuple(Evaluated(each, ()) for each in made)
        evaluation = Evaluation("set", {"cells": None, "tumor": None}, "torch cpu f32", fields)
        write_evaluation(folder, evaluation, report_of(evaluation.figures, draws=20))

    monkeypatch.setattr(crossval, "_run_fold", measured)
    scheme = Scheme(leave_out=(("left",), ("right",)))
    report = cross_validate(data, scheme=scheme, trial=tiny_trial(), seed=0, out=tmp_path / "out")
    raw = json.loads((tmp_path / "out" / "crossval.json").read_text())
    assert raw["error_model"]["laboratories"] == 2
    assert raw["error_model"]["fields"] == 6
    assert raw["error_model"]["levels"][0]["laboratory_sd"] > 0
    assert [row.source for row in report.by_source] == ["left", "right"]
    assert raw["folds"]["fold-1"]["headline"]["without_step_1"]["fields"] == 3
    assert report.headline.without_step_1 is not None
    assert report.headline.without_step_1.enough
    assert report.headline.without_step_1.summary.index.bias == pytest.approx(3.0)


def test_a_tumor_net_that_is_not_trained_is_taken_over_as_it_is_if_nothing_is_tuned(tmp_path: Path) -> None:
    weights = {"unet.conv.weight": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}
    for task in ("tumor", "cells"):
        write_model_folder(tmp_path / "base" / task, fake_card(task), weights)
    trial = dataclasses.replace(tiny_trial(), init=tmp_path / "base", tune=False)
    fold = crossval.Fold("fold-1", test=(), train=())
    crossval._take_over_tumor(trial, tmp_path / "models", fold)
    assert read_card(tmp_path / "models" / "tumor") == read_card(tmp_path / "base" / "tumor")
    assert not (tmp_path / "models" / "cells").exists()
    both = dataclasses.replace(trial, plans=(*trial.plans, dataclasses.replace(trial.plans[0], task="tumor")))
    crossval._take_over_tumor(both, tmp_path / "other", fold)
    assert not (tmp_path / "other").exists()
