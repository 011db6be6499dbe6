from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from registry.embedded.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def has_setuptools(least: int) -> bool:
    try:
        return int(version("setuptools").split(".")[0]) >= least
    except PackageNotFoundError:
        return False


def test_importing_the_engine_and_its_command_line_never_imports_django() -> None:
    script = (
        "import sys, pkgutil, importlib, expunge;"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(expunge.__path__, 'expunge.')"
        " if not m.name.endswith('__main__')];"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "expunge" in loaded
    assert not loaded & {"django", "rest_framework", "celery", "psycopg", "registry", "takedowns"}


def test_the_wheel_holds_the_engine_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path)]
    if has_setuptools(77):  # what pyproject.toml asks for; without it pip fetches one for the build
        command.append("--no-build-isolation")
    # A copy, because the build writes into the folder that it builds from.
    names = ["pyproject.toml", "README.md", "LICENSE", "expunge", "registry", "takedowns"]
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["cp", "-R", *[str(ROOT / name) for name in names], str(copy)], check=True)
    subprocess.run([*command, str(copy)], check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"expunge", "expunge-0.1.0.dist-info"}
