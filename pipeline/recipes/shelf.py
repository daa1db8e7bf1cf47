"""All recipes of a folder, each read once and again only when its file has changed."""

from __future__ import annotations

from pathlib import Path

from pipeline.recipes.recipe import RecipeError, RecipeFile, read_recipe

MAX_RECIPES = 256
_Stamp = tuple[int, int]


class RecipeShelf:
    """The recipes of a folder as they are now. To look costs a `stat` a file: a running line can bear it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: dict[Path, tuple[_Stamp, RecipeFile | RecipeError]] = {}

    def look(self) -> tuple[list[RecipeFile], list[str]]:
        """Usable recipes by id, and what is wrong with the others.

        Raises:
            RecipeError: there is no such folder, or it holds too many files.
        """
        found: dict[int, list[RecipeFile]] = {}
        problems = []
        for path in self._paths():
            item = self._item(path)
            if isinstance(item, RecipeError):
                problems.append(str(item))
            else:
                found.setdefault(item.recipe.id, []).append(item)
        for number, files in found.items():
            if len(files) > 1:
                names = ", ".join(item.path for item in files)
                problems.append(f"recipe {number}: found it in {names}, expected one file an id.")
        usable = [files[0] for _, files in sorted(found.items()) if len(files) == 1]
        return usable, problems

    def find(self, number: int) -> RecipeFile:
        """The recipe with this id.

        Raises:
            RecipeError: there is none that can be used.
        """
        usable, problems = self.look()
        for item in usable:
            if item.recipe.id == number:
                return item
        known = ", ".join(str(item.recipe.id) for item in usable) or "none"
        beside = f" Also: {problems[0]}" if problems else ""
        raise RecipeError(f"recipe {number}: not in {self.directory}, expected one of: {known}.{beside}")

    def _paths(self) -> list[Path]:
        try:
            paths = sorted(path for path in self.directory.iterdir() if path.suffix in {".yaml", ".yml"})
        except OSError as error:
            raise RecipeError(
                f"recipes_dir: {self.directory} cannot be read ({error.strerror}), expected a folder."
            ) from error
        if len(paths) > MAX_RECIPES:
            raise RecipeError(
                f"recipes_dir: found {len(paths)} files in {self.directory}, expected at most {MAX_RECIPES}."
            )
        return paths

    def _item(self, path: Path) -> RecipeFile | RecipeError:
        try:
            stat = path.stat()
        except OSError as error:
            return RecipeError(f"{path}: cannot be read ({error.strerror}).")
        stamp = (stat.st_mtime_ns, stat.st_size)
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        item: RecipeFile | RecipeError
        try:
            item = read_recipe(path)
        except RecipeError as error:
            item = error
        self._read[path] = (stamp, item)
        return item
