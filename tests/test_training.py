"""The training loop and `train_model` on tiny data: it learns, resumes exactly, refuses clearly."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ki67.errors import Cancelled, StoreError, TrainingError
from ki67.pipeline.cards import default_spec, read_card, verify_weights
from ki67.pipeline.images import sha256_of
from ki67.pipeline.nets import build_net, load_net, net_state
from ki67.training import train as train_module
from ki67.training.loop import CHECKPOINT_NAME, LOG_NAME, Plan, learning_rate, train_net
from ki67.training.losses import loss_of
from ki67.training.material import plates_of, synthetic_plates
from ki67.training.patches import Plate
from ki67.training.targets import IGNORED
from ki67.training.train import Material, Naming, Start, first_net, train_model, work_folder
from tests.annotated import make_folder, write_manifest, write_mask, write_scene
from tests.pipeline_fakes import draw_scene

TINY = Material(redraws=1, synthetic_regions=2, synthetic_side_px=96)


def tiny_plan(task: str = "cells", **changes: object) -> Plan:
    plan = Plan(task, 8, seed=1, batch=2, patch_px=64, device="cpu", threads=1, save_every=4)  # type: ignore[arg-type]
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]


def scene_plate() -> Plate:
    return synthetic_plates("cells", count=1, side_px=96, seed=4)[0]


def states_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_few_steps_lower_the_loss_on_one_synthetic_region(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = tiny_plan(patches=40, save_every=100, learning_rate=2e-3)
    saved: list[int] = []
    train_net(
        build_net(default_spec("cells")),
        [scene_plate()],
        plan,
        work=tmp_path,
        resume=False,
        save=lambda _, done: saved.append(done),
    )
    losses = [json.loads(line)["loss"] for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    assert len(losses) == 20
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:4])
    assert saved == [40]


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    plates = [scene_plate()]
    kept: dict[str, dict[str, torch.Tensor]] = {}

    def run(name: str, *, stop_at: int | None = None, resume: bool = False) -> None:
        torch.manual_seed(5)
        steps: list[int] = []

        def stop() -> bool:
            steps.append(1)
            return stop_at is not None and len(steps) >= stop_at

        train_net(
            build_net(default_spec("cells")),
            plates,
            tiny_plan(),
            work=tmp_path / name,
            resume=resume,
            save=lambda net, _: kept.update({name: {k: v.clone() for k, v in net.state_dict().items()}}),
            cancelled=stop,
        )

    run("whole")
    with pytest.raises(Cancelled, match="stopped after 6 patches: --resume goes on"):
        run("parts", stop_at=3)
    run("parts", resume=True)
    assert states_equal(kept["whole"], kept["parts"])
    whole, parts = ((tmp_path / name / LOG_NAME).read_text().splitlines() for name in ("whole", "parts"))
    assert [json.loads(line)["loss"] for line in whole] == [json.loads(line)["loss"] for line in parts]


def test_resuming_with_another_seed_or_without_checkpoint_is_refused(tmp_path: Path) -> None:
    def run(plan: Plan, *, resume: bool) -> None:
        net = build_net(default_spec("cells"))
        train_net(net, [scene_plate()], plan, work=tmp_path, resume=resume, save=lambda *_: None)

    with pytest.raises(TrainingError, match="no checkpoint to resume from: start without --resume"):
        run(tiny_plan(patches=2), resume=True)
    run(tiny_plan(patches=2), resume=False)
    with pytest.raises(TrainingError, match="made with another seed: resume with the same settings"):
        run(tiny_plan(patches=4, seed=2), resume=True)


def test_the_rate_warms_up_and_falls_to_zero_as_a_cosine() -> None:
    plan = tiny_plan(patches=1000, warmup=0.1, learning_rate=1e-3)
    rates = [learning_rate(plan, done) for done in range(0, 1001, 10)]
    assert rates[0] < 2e-5
    assert max(rates) == pytest.approx(1e-3, rel=0.02)
    assert learning_rate(plan, 550) == pytest.approx(5e-4, rel=0.01)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_pixels_that_are_not_annotated_never_move_the_loss() -> None:
    torch.manual_seed(0)
    for task, channels, top in (("cells", 5, 5), ("tumor", 1, 2)):
        loss = loss_of(task)  # type: ignore[arg-type]
        logits = torch.randn(2, channels, 32, 32)
        target = torch.randint(0, top, (2, 32, 32))
        target[:, :, 16:] = IGNORED
        other = logits.clone()
        other[..., 16:] += 3
        assert torch.isfinite(loss(logits, target))
        assert loss(logits, target).item() == pytest.approx(loss(other, target).item(), rel=1e-5)
        assert loss(logits, torch.full_like(target, IGNORED)).item() == pytest.approx(
            0 if task == "cells" else 1, abs=1
        )


def test_training_cells_writes_a_model_folder_whose_card_names_data_terms_seed_and_hashes(
    tmp_path: Path,
) -> None:
    data = make_folder(tmp_path / "data", patients=["A", "A", ""])
    card = train_model(
        "cells",
        data=[data],
        out=tmp_path / "models" / "cells",
        plan=tiny_plan(),
        start=Start("none"),
        naming=Naming("trial", "7", {"left": "for tests"}),
        material=TINY,
    )
    assert verify_weights(tmp_path / "models" / "cells") == card
    assert (card.name, card.version, card.encoder_init, card.seed) == ("trial", "7", "random", 1)
    assert card.training_patients == ("A", "field-2.png")
    assert set(card.training_images) == {sha256_of(data / f"field-{i}.png") for i in range(3)}
    assert [(source.source, source.images) for source in card.data] == [
        ("left", 2),
        ("right", 1),
        ("synthetic regions", 2),
    ]
    assert card.data[0].terms == "for tests"
    assert "not stated" in card.data[1].terms
    assert card.license_note == "Research use only"
    assert card.known_failures
    assert card.figures["patches"] == 8
    work = work_folder(tmp_path / "models" / "cells")
    assert sorted(path.name for path in work.iterdir()) == [CHECKPOINT_NAME, LOG_NAME]


def masked_folder(folder: Path, *, pictures: int) -> Path:
    """H&E-like pictures with a drawn mask each."""
    folder.mkdir()
    rows = []
    for number in range(pictures):
        rgb = np.full((96, 96, 3), (225, 150, 200), np.uint8)
        rgb[20:60, 20 : 60 + number] = (110, 60, 150)
        Image.fromarray(rgb).save(folder / f"{number}.png")
        write_mask(folder, f"{number}.png", (rgb[..., 0] == 110).astype(np.uint8) * 255)
        rows.append((f"{number}.png", 0.5, f"P{number}", "lung"))
    write_manifest(folder, rows)
    return folder


def test_training_tumor_holds_out_a_fifth_of_the_patients_and_measures_dice_on_them(tmp_path: Path) -> None:
    data = masked_folder(tmp_path / "data", pictures=5)
    card = train_model(
        "tumor",
        data=[data],
        out=tmp_path / "tumor",
        plan=tiny_plan("tumor", patches=4),
        start=Start("none"),
        naming=Naming("trial"),
        material=TINY,
    )
    assert len(card.training_patients) == 4
    (held_out,) = card.figures["held_out_pictures"]
    assert card.figures["held_out_patients_known"] is True
    assert f"P{held_out.removesuffix('.png')}" not in card.training_patients
    assert sha256_of(data / held_out) not in card.training_images
    assert 0 <= card.figures["held_out_dice"] <= 1
    assert card.data[0].source == "lung (H&E redrawn as Ki-67)"


def test_h_and_e_with_a_drawn_mask_gives_a_redrawn_and_an_untouched_plate(tmp_path: Path) -> None:
    from ki67.training.folder import read_folder

    fields = read_folder(masked_folder(tmp_path / "data", pictures=1))
    plates = plates_of("tumor", fields, seed=0, redraws=2)
    assert [plate.source for plate in plates] == ["lung (redrawn)", "lung (redrawn)", "lung"]
    assert not np.array_equal(plates[0].rgb, plates[2].rgb)
    assert all(np.array_equal(plate.target, plates[2].target) for plate in plates)
    assert plates[2].target[40, 40] == 1
    assert plates[2].target[5, 5] == 0


def test_derived_masks_are_marked_as_derived_on_the_card(tmp_path: Path) -> None:
    card = train_model(
        "tumor",
        data=[make_folder(tmp_path / "data", patients=["A"])],
        out=tmp_path / "tumor",
        plan=tiny_plan("tumor", patches=2, synthetic_share=0.0),
        start=Start("none"),
        naming=Naming("trial"),
        material=TINY,
    )
    assert [source.source for source in card.data] == ["left (tumor masks derived from centroids)"]


def test_typed_nuclei_alone_cannot_teach_the_cell_net(tmp_path: Path) -> None:
    write_scene(tmp_path, "a.png", draw_scene(96, 96, seed=0), label=False)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(TrainingError, match="typed nuclei alone cannot teach the cell net"):
        train_model(
            "cells",
            data=[tmp_path],
            out=tmp_path / "out",
            plan=tiny_plan(),
            start=Start("none"),
            naming=Naming("trial"),
            material=TINY,
        )
    assert not (tmp_path / "out").exists()


def test_typed_nuclei_are_redrawn_with_labels_beside_annotated_ones(tmp_path: Path) -> None:
    from ki67.training.folder import read_folder

    data = make_folder(tmp_path / "cells", patients=["A"])
    (tmp_path / "typed").mkdir()
    write_scene(tmp_path / "typed", "t.png", draw_scene(160, 160, seed=3), label=False)
    write_manifest(tmp_path / "typed", [("t.png", 0.5, "T", "he")])
    fields = (*read_folder(data), *read_folder(tmp_path / "typed"))
    plates = plates_of("cells", fields, seed=0, redraws=1)
    assert [plate.source for plate in plates] == ["left", "he (redrawn)"]
    assert {1, 3} & set(np.unique(plates[1].target).tolist())
    assert IGNORED not in plates[1].target


def test_imagenet_weights_that_cannot_be_fetched_are_never_replaced_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(train_module, "build_net", no_network)
    with pytest.raises(TrainingError, match=r"--encoder-weights FILE .* or --encoder-weights none"):
        first_net("cells", start=Start("imagenet"), seed=0)


def test_encoder_weights_come_from_a_local_file(tmp_path: Path) -> None:
    torch.manual_seed(9)
    source = build_net(default_spec("cells"))
    torch.save(source.unet.encoder.state_dict(), tmp_path / "resnet34.pth")
    net, origin = first_net("cells", start=Start(str(tmp_path / "resnet34.pth")), seed=0)
    assert states_equal(dict(source.unet.encoder.state_dict()), dict(net.unet.encoder.state_dict()))
    assert origin.startswith("file resnet34.pth (")
    with pytest.raises(TrainingError, match="does not hold the weights of a densenet121 encoder"):
        first_net("tumor", start=Start(str(tmp_path / "resnet34.pth")), seed=0)
    with pytest.raises(TrainingError, match="takes imagenet, none or a file"):
        first_net("cells", start=Start(str(tmp_path / "nowhere.pth")), seed=0)


def test_init_starts_from_a_whole_net_of_the_same_task(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", patients=["A"])
    common = {"data": [data], "naming": Naming("base"), "material": TINY}
    train_model("cells", out=tmp_path / "base", plan=tiny_plan(patches=2), start=Start("none"), **common)  # type: ignore[arg-type]
    net, origin = first_net("cells", start=Start(init=(tmp_path / "base",)), seed=0)
    assert states_equal(dict(load_net(tmp_path / "base").state_dict()), dict(net.state_dict()))
    assert origin.startswith("from base ")
    with pytest.raises(TrainingError, match="is a cells net: give --init a tumor net"):
        first_net("tumor", start=Start(init=(tmp_path / "base",)), seed=0)


def test_of_several_first_nets_the_mean_is_taken_and_what_they_saw_counts_as_seen(tmp_path: Path) -> None:
    folders = []
    for seed, patient in ((1, "A"), (2, "B")):
        data = make_folder(tmp_path / patient, patients=[patient])
        folders.append(tmp_path / f"net-{patient}")
        train_model(
            "cells", data=[data], out=folders[-1], plan=tiny_plan(patches=2, seed=seed), start=Start("none"),
            naming=Naming(f"net {patient}"), material=TINY,
        )  # fmt: skip
    net, origin = first_net("cells", start=Start(init=tuple(folders)), seed=0)
    first, second = (load_net(folder).state_dict() for folder in folders)
    name = "unet.segmentation_head.0.weight"
    assert torch.allclose(net.state_dict()[name], (first[name] + second[name]) / 2, atol=1e-6)
    assert origin.startswith("from the mean of 2 nets: net A ")
    card = train_model(
        "cells", data=[tmp_path / "A"], out=tmp_path / "after", plan=tiny_plan(patches=2),
        start=Start(init=(folders[1],)), naming=Naming("after"), material=TINY,
    )  # fmt: skip
    assert set(card.training_patients) == {"A", "B"}


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", patients=["A"], side=32)
    with pytest.raises(StoreError, match=r"holds no card\.json, so it is not replaced"):
        train_model(
            "cells", data=[data], out=data, plan=tiny_plan(patches=2), start=Start("none"),
            naming=Naming("base"), material=TINY,
        )  # fmt: skip
    assert (data / "manifest.csv").is_file()


def test_the_first_weights_follow_the_seed() -> None:
    first, again, other = (first_net("cells", start=Start("none"), seed=seed)[0] for seed in (3, 3, 4))
    assert all(
        np.array_equal(a, b)
        for a, b in zip(net_state(first).values(), net_state(again).values(), strict=True)
    )
    assert not np.array_equal(
        net_state(first)["unet.encoder.conv1.weight"], net_state(other)["unet.encoder.conv1.weight"]
    )


SCRIPT = """
import sys
from pathlib import Path
from ki67.training.loop import Plan
from ki67.training.train import Material, Naming, Start, train_model
plan = Plan("cells", 8, seed=1, batch=2, patch_px=64, device="cpu", threads=1, save_every=4)
train_model("cells", data=[Path(sys.argv[1])], out=Path(sys.argv[2]), plan=plan, start=Start("none"),
            naming=Naming("pair"), material=Material(1, 2, 96))
"""


def test_torchrun_trains_in_two_processes_and_one_of_them_writes(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", patients=["A", "B"])
    script = tmp_path / "pair.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(data), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (work_folder(tmp_path / "out") / LOG_NAME).read_text().splitlines()
    assert [json.loads(line)["patches"] for line in lines] == [4, 8]
    assert read_card(tmp_path / "out").figures["patches"] == 8
