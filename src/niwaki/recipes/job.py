"""The job: data in, a dense parent, a smaller model beside an equally trained control, and everything measured."""

from itertools import islice
from pathlib import Path

from torch import nn

from niwaki.export import ExportResult, export
from niwaki.files import RunDirectory, save
from niwaki.measure import measure_latency
from niwaki.methods.prune import sensitivity
from niwaki.methods.share import brief_searches, kept_searches
from niwaki.recipes.pictures import draw_scenes
from niwaki.recipes.recipe import Recipe
from niwaki.recipes.workplace import Workplace, open_workplace
from niwaki.records import Compression, Latency, Quality, Record, Sensitivity
from niwaki.train import Baseline, Fitted, NamedStage, Progress, Result, Silent, Training, compress, evaluate, fit
from niwaki.train.loader import open_batches

__all__ = ["run_recipe"]


def run_recipe(recipe: Recipe, out: Path | str, *, resume: bool = False, progress: Progress | None = None) -> Record:
    """Run a recipe from data to record.

    The dense parent is trained, unless the recipe begins with random weights; from it the method makes the small model,
    fine-tuned meanwhile, and a dense control is trained on for as many steps. Both are measured on the test split (the
    validation split where there is none), timed, exported and drawn. Everything goes into the run directory; a killed
    run goes on with ``resume=True``.

    Args:
        recipe: The recipe.
        out: The run directory; it is made.
        resume: Whether to go on with the run that is there.
        progress: Who watches.

    Returns:
        The record, which is also in ``record.json``.

    Raises:
        FileError: When the directory holds another run, or none although it is to be resumed.
        NiwakiError: Whatever the steps raise: `DataError`, `BudgetError`, `TrainingError`…
    """
    watch = progress or Silent()
    place = open_workplace(recipe, watch)
    with RunDirectory(out, recipe.model_dump(mode="json"), resume=resume) as directory:
        return _Job(place, directory, watch, resume=resume).work()


class _Job:
    """One recipe at work in one directory."""

    def __init__(self, place: Workplace, directory: RunDirectory, progress: Progress, *, resume: bool) -> None:
        self.place = place
        self.recipe = place.recipe
        self.directory = directory
        self.progress = progress
        self.resume = resume

    def work(self) -> Record:
        """Do every step; a training that a stopped run finished is taken from its checkpoint."""
        if not self.resume:
            self.progress.note("trying the method on the untrained network")
            with brief_searches():
                self.place.start(self.place.build())  # what it can't do is told before the long work
        parent = None if self.recipe.training is None else self._fit("dense", self.place.build(), self.recipe.training)
        first = self.place.build() if parent is None else parent.model
        control = self._fit("control", first, self.recipe.finetune) if self.recipe.control else None
        dense = first if control is None else control.model
        with kept_searches(self.directory.path / "search", self.progress):
            result = self._compress(first, None if control is None else self._quality(dense))
        files = {"dense": self.directory.dense, "small": self.directory.model}
        if parent is not None and control is not None:
            self._save(parent.model, self.directory.parent)
        self._save(dense, files["dense"])
        self._save(result.model, files["small"])
        exported = self._export(result.model)
        latency = self._time(dense, result.model)
        self.progress.note("drawing predictions")
        draw_scenes(self.directory.pictures, self.place, {"dense": dense, "small": result.model})
        trainings = {"dense": parent, "control": control, "small": result.fitted}
        record = result.record.model_copy(
            update={
                "latency": latency,
                "sensitivity": self._sensitivity(first),
                "compression": _bill(result.record.compression, trainings),
                "recipe": self.recipe.model_dump(mode="json"),
                "seed": self.recipe.seed,
                "file_bytes": {name: path.stat().st_size for name, path in files.items()},
                "exported": None if exported is None else exported.model_dump(mode="json"),
            }
        )
        self.directory.write(self.directory.record, record.to_json(indent=2))
        return record

    def _fit(self, stage: str, model: nn.Module, training: Training) -> Fitted:
        recipe, place = self.recipe, self.place
        self.progress.note(f"{stage}: {_TITLES[stage]}")
        return fit(
            model,
            place.tasks,
            place.splits.train,
            place.splits.val,
            training=training,
            balance=recipe.make_balancer(),
            out=NamedStage(self.directory.path, stage),
            resume=self.resume,
            progress=self.progress,
        )

    def _compress(self, parent: nn.Module, baseline: Quality | None) -> Result:
        recipe, place = self.recipe, self.place
        self.progress.note(f"small: {_TITLES['small']}")
        return compress(
            parent,
            place.tasks,
            place.splits.train,
            place.splits.val,
            method=recipe.method,
            training=recipe.finetune,
            balance=recipe.make_balancer(),
            baseline=None if baseline is None else Baseline(baseline),
            test_data=place.splits.test,
            protocol=recipe.protocol,
            out=NamedStage(self.directory.path, "small"),
            resume=self.resume,
            progress=self.progress,
        )

    def _quality(self, model: nn.Module) -> Quality:
        recipe, place = self.recipe, self.place
        return evaluate(
            model,
            place.tasks,
            place.measured[1],
            protocol=recipe.protocol,
            device=recipe.finetune.device,
            batch_size=recipe.finetune.batch_size,
            num_workers=recipe.finetune.num_workers,
            progress=self.progress,
        )

    def _sensitivity(self, parent: nn.Module) -> Sensitivity | None:
        if not self.recipe.sensitivity:
            return None
        self.progress.note("measuring what each task loses without half of one group's channels")
        place = self.place
        batches = open_batches(place.splits.val, self.recipe.finetune, place.tasks, shuffle=False)
        return sensitivity(parent, place.example(parent), place.tasks, islice(batches.peek(), self.recipe.sensitivity))

    def _save(self, model: nn.Module, path: Path) -> None:
        save(model, path, tasks=self.place.tasks, example=self.place.example(model))

    def _export(self, small: nn.Module) -> ExportResult | None:
        if not self.recipe.export:
            return None
        self.progress.note("exporting to ONNX and comparing the answers")
        return export(small, self.place.example(small), self.directory.onnx, tasks=self.place.names)

    def _time(self, dense: nn.Module, small: nn.Module) -> Latency:
        how = self.recipe.latency
        self.progress.note(f"timing dense beside small in {', '.join(how.runtimes)}")
        return measure_latency(
            {"dense": dense, "small": small},
            self.place.batch(small, how.batch),
            runtimes=how.runtimes,
            threads=how.threads,
            rounds=how.rounds,
            tasks=self.place.names,
        )


_TITLES = {
    "dense": "training the parent",
    "control": "training the network as it is, to compare with",
    "small": "making it smaller and fine-tuning",
}


def _bill(compression: Compression, trainings: dict[str, Fitted | None]) -> Compression:
    done = {stage: fitted for stage, fitted in trainings.items() if fitted is not None}
    return compression.model_copy(
        update={
            "seconds": {stage: fitted.seconds for stage, fitted in done.items()},
            "steps": {stage: fitted.steps for stage, fitted in done.items()},
        }
    )
