"""The benchmarks run, at sizes too small to say anything about time, and write results that the docs can show."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from registry.embedded.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

BENCHMARKS = ROOT / "benchmarks"
SHARED = {"data", "measure", "run", "scripted", "server"}
TINY: dict[str, list[str]] = {
    "check": [],
    "clean": [],
    "diff": ["--ordered", "2000"],
    "dns": [],
    "fetch": [],
    "growth": [],
    "index": ["--keys", "20"],
    "keys": ["--fuzz", "500"],
    "links": [],
    "memory": [],
    "sampling": [],
    "splice": [],
    "text": ["--formats", "csv", "jsonl"],
    "verify": [],
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of generated data for all scripts."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script of the benchmarks as they import one another."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def run_tiny(data: Path) -> Callable[[str], dict[str, Any]]:
    """Run a script once, at a tiny size; returns its result."""

    @cache
    def run(script: str) -> dict[str, Any]:
        result = data / f"{script}.json"
        sizes = ["--rows", "1000", "--rounds", "1", "--workers", "1"]
        command: list[str | Path] = [
            sys.executable,
            BENCHMARKS / f"{script}.py",
            *sizes,
            "--data",
            data,
            "--json",
            result,
        ]
        command += TINY[script]
        if script == "growth":
            command += ["--plots", data / "plots"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert not done.returncode, done.stderr
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    return run


def test_every_script_is_run_here_and_by_make_bench(module: Any) -> None:
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - SHARED
    assert scripts == set(TINY) == set(module("run").SCRIPTS)


@pytest.mark.parametrize("script", sorted(TINY))
def test_a_script_writes_a_well_formed_result(
    script: str, run_tiny: Callable[[str], dict[str, Any]], data: Path
) -> None:
    result = run_tiny(script)
    assert (result["script"], result["full"]) == (script, False)
    assert {"cores", "load_before", "load_after", "python", "packages"} <= set(result["machine"])
    assert result["jobs"]
    for job in result["jobs"]:
        assert job["sizes"]
        assert job["ours"]["wall"] > 0
        assert set(job["ratios"]) == set(job["peers"])
        for goal in job["goals"]:
            above = goal["value"] >= goal["limit"] if goal["at_least"] else goal["value"] <= goal["limit"]
            assert goal["met"] is above
    assert [path.name for path in data.glob("*-output")] == []


def test_growth_draws_its_plots_and_extrapolates(
    run_tiny: Callable[[str], dict[str, Any]], data: Path
) -> None:
    result = run_tiny("growth")
    for name in ("rows", "removals"):
        drawing = ET.parse(data / "plots" / f"{name}.svg").getroot()
        marks = drawing.findall("{http://www.w3.org/2000/svg}circle")
        assert len(marks) == 4
        assert drawing.find("{http://www.w3.org/2000/svg}title") is not None
    assert set(result["extrapolated"]["seconds"]) == {"1", "16"}


def test_slopes_are_those_of_exact_figures(module: Any) -> None:
    growth = module("growth")
    runs = [
        {"rows": rows, "groups": groups, "wall": 2 + rows * 3e-6 + groups * 0.5}
        for rows, groups in ((1e6, 1), (2e6, 1), (4e6, 1), (4e6, 8), (4e6, 30))
    ]
    slopes = growth.Slopes.fit(runs, "wall")
    assert slopes.seconds(5e9, 2000, 16) == pytest.approx(2 + (5e9 * 3e-6 + 2000 * 0.5) / 16)


def test_removals_in_one_row_group_touch_it_once(module: Any) -> None:
    growth = module("growth")
    assert growth.touched_groups(growth.GROUP_ROWS * 4, 1) == pytest.approx(1)
    assert growth.touched_groups(growth.GROUP_ROWS * 4, 10_000) == pytest.approx(4)


def test_a_row_says_the_same_wherever_it_stands(module: Any, tmp_path: Path) -> None:
    data = module("data")
    urls = data.rows_of(5, 20).column("url").to_pylist()
    assert data.urls_of([7, 6]) == [urls[2], urls[1]]
    folder = data.make_shards(tmp_path, 2, 10)
    assert [path.name for path in sorted(folder.iterdir())] == ["part-00000.parquet", "part-00001.parquet"]


def test_the_page_shows_figures_and_goals_that_are_missed(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measure, run = module("measure"), module("run")
    goals = [measure.Goal("seconds", 9, 5), measure.Goal("rows", 3, 2, at_least=True)]
    job = measure.Job(
        "dig", {"rows": 1000, "bytes": 3_000_000}, {"wall": 9, "cpu": 8}, {"spade": {"wall": 3}}, goals
    )
    result = {
        "script": "diff",
        "date": "2026-01-02T00:00:00+00:00",
        "machine": measure.machine(),
        "jobs": [job.to_dict()],
    }
    (tmp_path / "diff.json").write_text(json.dumps(result))
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs/benchmarks.md").read_text())
    run.write_page(page)
    run.write_page(page)
    text = page.read_text()
    assert (
        text.count("| diff | dig | 1,000 rows<br>3 MB | 9.00 s<br>CPU 8.00 s | spade 3.00 s (3.00 wall) |")
        == 1
    )
    assert "**missed**: seconds 9 (≤ 5)<br>met: rows 3 (≥ 2)" in text
    assert "1 jobs, 1 of them with a goal that is missed" in text
    assert "Not measured yet." in text
