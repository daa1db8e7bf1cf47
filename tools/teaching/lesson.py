"""The six steps of `hlgfa teach` in their order; each is skipped if what it makes is there and matches."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from calibration.dataset import ImageFiles
from calibration.images import list_images
from calibration.looks import flag
from calibration.record import CalibrationError
from engines.records import file_sha256
from pipeline.frame import CHANNELS
from pipeline.recipes.active_record import load_active
from tools.calibrate import calibrate
from tools.teaching import learn
from tools.teaching.collect import check_stopped, collect
from tools.teaching.look import choose, left_out, look_through, show, write_sheet
from tools.teaching.odd import odd_parts, said_odd
from tools.teaching.progress import save_teaching
from tools.teaching.promise import promise
from tools.teaching.proof import prove
from tools.teaching.recipe_file import check_recipe, recipe_text, shelve
from tools.teaching.recorded import recorded_camera
from tools.teaching.start import ROOT, model_dir, recipe_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from tools.teaching.collect import Collected
    from tools.teaching.progress import Teaching
    from tools.train import TrainingJob

STEPS = 6


class Lesson:
    """One teaching, run from where it is."""

    def __init__(
        self,
        origin: Path,
        config: Config,
        camera: CameraConfig,
        *,
        name: str,
        teaching: Teaching,
        threads: int,
    ) -> None:
        self._origin, self._config, self._camera, self._name = origin, config, camera, name
        self._teaching, self._threads = teaching, threads
        self._folder = ROOT / name
        self._frames, self._good = self._folder / "frames", self._folder / "good"
        self._model = model_dir(config, name, teaching.version)
        self._took: list[tuple[str, float]] = []

    def run(self) -> None:
        """All steps, and what to do next."""
        with self._step("collect"):
            self._collect()
        with self._step("look"):
            self._look()
        job = learn.job_of(self._good, self._model, self._teaching.wish, threads=self._threads)
        with self._step("train"):
            self._train(job)
        with self._step("calibrate"):
            self._calibrate()
        with self._step("build"):
            print(f"  engine {learn.build(self._model, self._good, self._config.engine)}")
        with self._step("recipe"):
            self._write_recipe()
        self._offer()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begin_s = time.monotonic()
        print(f"{len(self._took) + 1}/{STEPS} {name}", flush=True)
        yield
        self._took.append((name, time.monotonic() - begin_s))

    def _keep(self, **changes: object) -> None:
        self._teaching = msgspec.structs.replace(self._teaching, **changes)
        save_teaching(self._folder, self._teaching)

    def _collect(self) -> None:
        hashes = tuple(file_sha256(path) for path in list_images(self._frames))
        if self._teaching.collected is not None:
            if hashes != self._teaching.collected:
                raise CalibrationError(
                    f"{self._frames}: found other images than were collected, expected them as they were. "
                    "Leave out single ones by --exclude; begin again with --force."
                )
            print(f"  {len(hashes)} images are there: {self._frames}")
            return
        source = self._teaching.wish.source
        camera = self._camera
        if source is None:
            check_stopped(self._config)
            print(f"  put good parts in front of camera {camera.name}, as they will pass; nothing else")
        else:
            camera = recorded_camera(camera, Path(source))
        done = collect(camera, self._frames, self._teaching.wish.parts)
        self._keep(collected=tuple(file_sha256(path) for path in list_images(self._frames)))
        self._say_collected(done)

    def _say_collected(self, done: Collected) -> None:
        print(f"  {done.kept} images of {self._camera.name}: {self._frames}")
        if done.incomplete:
            _warn(f"{done.incomplete} incomplete frames were left out. See docs/cameras.md.")
        if done.defective:
            _warn(
                f"{done.defective} parts are defective by the truth that only simulated parts have. They "
                "were left out, as a person would leave them out; a real camera's parts all teach."
            )
        if done.kept < self._teaching.wish.parts:
            _warn(f"the images ended; asked for were {self._teaching.wish.parts}.")

    def _look(self) -> None:
        wish, camera = self._teaching.wish, self._camera
        size_px, channels = (camera.height_px, camera.width_px), CHANNELS[camera.pixel_format]
        images = ImageFiles(list_images(self._frames), size_px=size_px, channels=channels)
        looks = look_through(images)
        flags = flag(looks)
        sheet = self._folder / "sheet.png"
        every = {
            number: ", ".join(one.text for one in found) for number, found in enumerate(flags, 1) if found
        }
        write_sheet(sheet, images, every, self._title)
        out = left_out(flags, wish.exclude, keep=wish.keep)
        show(looks, flags, out)
        write_sheet(sheet, images, out, self._title)
        chosen = choose(self._frames, self._good, out)
        print(
            f"  {len(chosen)} teach, {len(out)} left out: {sheet}\n"
            "  Look at it now. If a part there is not good: Ctrl-C, then the same command with "
            "--resume --exclude NUMBER,NUMBER"
        )

    @property
    def _title(self) -> str:
        return f"{self._name}: recipe {self._teaching.wish.recipe}, camera {self._camera.name}"

    def _train(self, job: TrainingJob) -> None:
        if learn.is_trained(job):
            print(f"  model is there: {self._model}")
            return
        if self._teaching.recipe_sha256 is not None:
            raise CalibrationError(
                f"{self._model}: found another model than the recipe was written for, expected it as it was: "
                "a version is one content. Add --replace, which makes the next version."
            )
        parts = learn.train(job)
        scored = f"{len(parts.hold_out)} held out" if parts.hold_out else "each scored by a fit without it"
        print(f"  {self._model}: {len(parts.fit)} parts trained, {scored}")

    def _calibrate(self) -> None:
        if learn.is_calibrated(self._model):
            print("  threshold is there")
        else:
            calibrate(self._model)
        if odd := odd_parts(learn.scored_parts(self._model)):
            _warn(said_odd(odd))

    def _write_recipe(self) -> None:
        if self._teaching.recipe_sha256 is not None:
            print("  recipe is there")
            return
        wish, version = self._teaching.wish, self._teaching.version
        draft = self._folder / "recipe.yaml"
        text = recipe_text(
            self._config,
            number=wish.recipe,
            title=wish.title,
            version=version,
            model=self._model,
            notes=promise(learn.calibration_of(self._model)),
        )
        draft.write_text(text)
        for passed in check_recipe(draft, self._config):
            print(f"  ok  {passed}")
        self._prove()
        place = recipe_path(self._config, self._name, wish.recipe)
        self._keep(recipe_sha256=shelve(draft, place))
        print(f"  {place}: recipe {wish.recipe} version {version}")

    def _prove(self) -> None:
        proof = prove(self._model, self._good, self._config.engine)
        deadline_ms = self._config.station.deadline_ms
        which = "that training did not see" if proof.unseen else "that taught"
        print(
            f"  ok  of {proof.parts} parts {which} {proof.passed} pass; with a drawn defect {proof.caught} "
            f"of {proof.parts} are rejected; {proof.inference_ms:.0f} ms each of {deadline_ms:g}"
        )
        if proof.inference_ms > deadline_ms / 2:
            _warn("judging takes more than half of station.deadline_ms here. See hlgfa bench.")

    def _offer(self) -> None:
        number, config = self._teaching.wish.recipe, self._origin
        seconds = ", ".join(f"{name} {took_s:.1f} s" for name, took_s in self._took)
        print(f"\n{seconds}; in all {sum(took_s for _, took_s in self._took):.0f} s")
        for line in promise(learn.calibration_of(self._model)):
            print(line)
        active = load_active(Path(self._config.station.journal_dir))
        if active is not None and active.id == number and active.version != self._teaching.version:
            _warn(
                f"version {active.version} of recipe {number} was active last. A station started before "
                f"it has changed asks for that one: hlgfa recipe select {number} chooses the new one."
            )
        where = "" if str(config) == "config.yaml" else f" {config}"
        print(
            f"A stopped station starts with it after: hlgfa recipe select {number}{where}\n"
            "Change to it while the station runs, here or in the menu of its page:\n"
            f"hlgfa recipe change {number}{where}"
        )


def _warn(text: str) -> None:
    typer.echo(f"  warning: {text}", err=True)
