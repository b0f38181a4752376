"""A report is whole, says what the result says, and takes nothing but results."""

import json
import re
import shutil
from pathlib import Path

import html5lib
import numpy as np
import pytest
from tests.interface.pages.test_page import make_clip
from tests.interface.pages.test_page import page as demo_page  # noqa: F401  (a fixture)
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.pages.plots import Series, lines, log_ticks, ticks
from presage.interface.pages.report_figures import horizons, thinned
from presage.interface.pages.report_page import render
from presage.interface.pages.report_tables import rates, success_tables
from presage.measures.statistics import difference_of_proportions, wilson
from presage.results.output import write_json
from presage.results.record import Film, describe_run, film_both, film_recalled, save_films
from presage.results.runs import read_runs
from presage.results.tables import episode_rows
from presage.simulator.success import Threshold, save_threshold
from presage.training.checkpoint import save_model, weights_hash
from presage.worlds import RolloutResult


def make_results(good: int, n: int = 6) -> list[RolloutResult]:
    tasks = ["push-v3", "drawer-open-v3"]
    return [RolloutResult(tasks[i % 2], i // 2, i < good, 3 + i, "do <it> & rest") for i in range(n)]


def make_result(file: Path, good: int = 3, world: str = "real", films: int = 1, name: str = "joint", **more) -> Path:
    """A `--json` file as `presage act` writes it."""
    rows = episode_rows(name, make_results(good)) + more.pop("rows", [])
    clips = [Film(name, "push-v3", i, make_clip(4 + i)) for i in range(films)]
    record = describe_run(0, {"success": good / 6, "nested": {"a": 1.5}}, None, rows, save_films(file, clips))
    write_json(file, {**record, "command": "presage act --episodes 3", **more})
    return file


def make_training(folder: Path, steps: int = 700) -> Path:
    (folder / "state").mkdir(parents=True)
    rows = [{"step": s, "seconds": s / 2, "loss": 1 / s, "video.front": 2.0} for s in range(1, steps)]
    (folder / "state" / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"step": 9')
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two results and a training, with everything a page can show."""
    folder = tmp_path_factory.mktemp("runs")
    dreamt = episode_rows("joint", make_results(5), "imagined") + episode_rows("random", make_results(0))
    dreamt += episode_rows("random", make_results(1), "imagined")
    one = make_result(
        folder / "one.json", 3, films=2, rows=dreamt, figures={"pearson": 1.0, "psnr_1": 3, "psnr_8": 2, "psnr_9": 1}
    )
    two = make_result(folder / "two.json", 6)
    return render(read_runs([one, two, make_training(folder / "training")])).text


def test_it_is_html5_and_fetches_nothing(report: str, demo_page: str) -> None:  # noqa: F811
    for page in (report, demo_page):
        html5lib.HTMLParser(strict=True).parse(page)
        without_films = re.sub(r"base64,[^\"]*", "", page)
        assert not re.search(r"https?:|//[a-z]+\.|@import|<link|url\(|\ssrc=\"(?!data:)", without_films)
        assert "default-src 'none'" in page
        identifiers = re.findall(r'\sid="([^"]+)"', page)
        assert len(identifiers) == len(set(identifiers))
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(identifiers)


def test_what_it_says(report: str) -> None:
    assert "50 % [19, 81]" in report and "3 of 6" in report
    low, high = difference_of_proportions(6, 6, 3, 6)[1:]
    assert f"+50 [{100 * low:+.0f}, {100 * high:+.0f}]" in report
    assert "do &lt;it&gt; &amp; rest" in report and "do <it>" not in report
    assert "presage act --episodes 3" in report and "nested/a" in report and "torch 2" in report
    assert report.count("<video") == 6 and report.count('type="range"') == 2  # one scrubber an episode, of both runs
    for svg in re.findall(r"<svg[^>]*>", report):
        assert re.search(r'role="img" aria-label="[^"]+"', svg)
    assert "calibration line" in report and "hallucinated" in report and "first frame" in report
    assert "psnr over chunks ahead" in report and "averaged over neighbouring" in report


def test_episodes_can_be_told_apart(report: str) -> None:
    episodes = re.findall(r'class="episode" data-task="([^"]+)" data-outcome="([^"]+)"', report)
    assert len(episodes) == 6 and {task for task, _ in episodes} == {"push-v3", "drawer-open-v3"}
    assert {outcome for _, outcome in episodes} == {"some"}  # random never succeeds and the second run always does


def test_rates_come_from_episodes_or_figures(tmp_path: Path) -> None:
    (with_rows,) = read_runs([make_result(tmp_path / "a.json", 4)])
    assert rates(with_rows)["joint"] == (wilson(4, 6), (4, 6), None)
    interval = wilson(14, 20)
    figures = {
        f"{name}{end}": x for name in ("success_joint", "imagined/x") for end, x in zip(("", "_low", "_high"), interval)
    }
    write_json(tmp_path / "old.json", {"figures": {**figures, "pearson": 0.5, "pearson_low": 0.1, "pearson_high": 0.9}})
    (old,) = read_runs([tmp_path / "old.json"])
    found = rates(old)
    assert list(found) == ["joint", "x, imagined"]
    assert found["joint"].interval == pytest.approx(interval) and found["joint"].counts is None


def test_a_report_says_why_a_correlation_of_few_policies_has_no_interval(tmp_path: Path) -> None:
    rows = [*episode_rows("joint", make_results(4), "imagined"), *episode_rows("still", make_results(0), "imagined")]
    figures = {"pearson": 0.9, "pearson_low": float("nan"), "pearson_high": float("nan")}
    (run,) = read_runs([make_result(tmp_path / "a.json", 4, rows=rows, figures=figures)])
    assert "r is 0.9, too few policies for an interval" in render([run]).text


def test_a_dreams_doubtful_episodes_are_told_from_those_that_are_sure(tmp_path: Path) -> None:
    dreamt = episode_rows("random", make_results(3), "imagined")
    rows = [row | {"answered": i < 2} for i, row in enumerate(dreamt)]
    none = [row | {"policy": "shy", "answered": False} for row in dreamt]
    (run,) = read_runs([make_result(tmp_path / "a.json", 4, rows=rows + none)])
    assert rates(run)["random, imagined"] == (wilson(3, 6), (3, 6), (2, 2))
    assert rates(run)["joint"].sure is None and rates(run)["shy, imagined"].sure == (0, 0)
    said = success_tables([run])
    assert "where sure: 100 % [34, 100], 2 of 2" in said and "where sure: no episode" in said
    assert "without an answer count as what is likelier" in said
    (plain,) = read_runs([make_result(tmp_path / "b.json", 4)])
    assert "sure" not in success_tables([plain])


def test_runs_of_one_policy_each_are_compared(tmp_path: Path) -> None:
    files = [make_result(tmp_path / "a.json", 2), make_result(tmp_path / "b.json", 4, name="closed_loop")]
    said = success_tables(read_runs(files))
    assert "a (joint)" in said and "b (closed_loop)" in said and "all episodes" in said
    assert "only the former reached 2, only the latter 0" in said


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [make_result(tmp_path / folder / "act.json") for folder in "ab"]
    assert [run.name for run in read_runs(files)] == ["1. a/act", "2. b/act"]
    assert [run.source for run in read_runs(files)] == ["act.json", "act.json"]


def test_missing_films_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = make_result(tmp_path / "act.json", films=2)
    (tmp_path / "act.films" / "00-push-v3-0-real.mp4").unlink()
    assert main(["report", str(file), "--out", str(tmp_path / "page.html")]) == 0
    assert "left out: act.films/00-push-v3-0-real.mp4" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().count("<video") == 2
    assert [p.name for p in tmp_path.glob("*partial*")] == []


def test_a_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presage.interface.pages.report_page.FILM_BYTES", 10)
    page = render(read_runs([make_result(tmp_path / "act.json")]))
    assert "<video" not in page.text and "too large" in page.left_out[0]


def test_only_films_beside_the_result_are_read(tmp_path: Path) -> None:
    file = make_result(tmp_path / "act.json")
    record = json.loads(file.read_text())
    record["films"][0]["real"] = "../../secret/file.mp4"
    file.write_text(json.dumps(record))
    assert read_runs([file])[0].footage[0].real == tmp_path / "secret" / "file.mp4"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        ("[]", "figures"),
        ('{"figures": {}, "episodes": [{"task": "x"}]}', "damaged"),
        ('{"figures": {}, "films": [{}]}', "damaged"),
        ('{"figures": {}, "machine": {}}', "damaged"),
        ('{"figures": {}, "command": 3}', "damaged"),
    ],
)
def test_what_is_no_result_is_refused(text: str, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(text)
    assert main(["report", str(tmp_path / "x.json"), "--out", str(tmp_path / "page.html")]) == 2
    said = capfd.readouterr().err
    assert says in said and "x.json" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_folders_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="log.jsonl"):
        read_runs([tmp_path])
    (make_training(tmp_path / "run") / "state" / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="empty"):
        read_runs([tmp_path / "run"])


def test_a_system_s_training_shows_each_stage(tmp_path: Path) -> None:
    for stage in ("world", "near"):
        shutil.move(make_training(tmp_path / stage) / "state", tmp_path / "run" / stage)
    (run,) = read_runs([tmp_path / "run"])
    assert list(run.curves)[0] == "world/loss" and "near/loss" in run.curves and run.figures["near/step"] == 699


def test_a_finished_training_names_its_command(tmp_path: Path) -> None:
    folder = make_training(tmp_path / "run")
    (folder / "model").mkdir()
    (folder / "model" / "card.md").write_text("# run\n\nRecipe `debug`.\n\n```sh\npresage train --out run\n```\n")
    (run,) = read_runs([folder])
    assert run.command == "presage train --out run" and run.facts["card"] == "Recipe `debug`."
    assert run.figures["step"] == 699 and len(run.curves["loss"][0]) == 699


def test_choice_of_films() -> None:
    frames = {c: np.zeros((4, 32, 32, 3), np.uint8) for c in ("front", "top")}
    results = [
        RolloutResult(
            r.task, r.seed, r.success, 3, "x", frames, np.zeros((4, 4), np.float32), np.zeros((3, 4, 4), np.float32)
        )
        for r in make_results(3)
    ]
    films = film_recalled(tiny_model(), "joint", results, 4)
    assert [(f.task, f.seed) for f in films] == [
        ("push-v3", 0),
        ("drawer-open-v3", 0),
        ("drawer-open-v3", 1),
        ("push-v3", 2),
    ]
    assert film_recalled(tiny_model(), "joint", results[:3], 2)[1].clip.caption.startswith(
        "Reached"
    )  # no failure to show
    both = film_both("joint", results, results[:2] + results[3:4] + results[3:], 1, 5.0)
    assert both[0].clip.caption == "Simulator: reached after 0.6 s. Dream: not reached within 0.6 s."


def test_plots() -> None:
    assert ticks(0.0, 1.0) == [0, 0.2, 0.4, 0.6, 0.8, 1.0] and ticks(3.0, 3.0) == [3.0]
    assert log_ticks(0.02, 3.0) == pytest.approx([0.1, 1.0]) and log_ticks(3.0, 12.0) == pytest.approx([5, 10])
    plot = lines("loss", "step", "loss", [Series("a", [0, 1], [1.0, 100.0]), Series("b <", [0, 1], [2.0, 3.0])])
    assert 'stroke-dasharray="7 4"' in plot and "<polygon" in plot and "<circle" in plot and "b &lt;" in plot
    assert "a: from 1 at 0 to 100 at 1." in plot and "nan" not in lines("x", "s", "x", [Series("a", [5], [0.0])])
    assert horizons({"psnr_1": 3.0, "psnr_32": 1.0, "psnr_8": 2.0, "p_1": 1.0})["psnr"] == [
        (1, 3.0),
        (8, 2.0),
        (32, 1.0),
    ]
    assert (
        thinned(range(3), [1.0, 2.0, 3.0]) == ([0, 1, 2], [1, 2, 3]) and len(thinned(range(999), range(999))[0]) <= 300
    )


def test_commands_keep_what_a_report_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to the page, with a model that knows nothing."""
    monkeypatch.chdir(tmp_path)
    folder = save_model(tiny_model(size=64), tmp_path / "tiny" / "model", "a random model")
    found = Threshold(0.5, 0.5, 1, 1, ("drawer-open-v3",), weights=weights_hash(folder))
    save_threshold(folder / "success.json", found)
    common = [
        "--checkpoint",
        "tiny/model",
        "--tasks",
        "drawer-open-v3",
        "--episodes",
        "1",
        "--max-steps",
        "2",
        "--films",
        "1",
    ]
    assert main(["act", *common]) == 2  # --films without --json
    assert main(["act", *common, "--instruction", "pull", "--json", "act.json"]) == 0
    assert main(["evaluate", *common, "--policies", "joint", "--json", "evaluate.json"]) == 0
    assert main(["synthesize", *common, "--out", "dreams", "--json", "dreams.json"]) == 0
    runs = read_runs([Path(f"{name}.json") for name in ("act", "evaluate", "dreams")])
    assert [(o.policy, o.world) for o in runs[1].outcomes] == [("joint", "real"), ("joint", "imagined")]
    assert runs[0].outcomes[0].instruction == "pull" and runs[2].outcomes[0].world == "imagined"
    assert [len(run.footage) for run in runs] == [1, 1, 1] and "tiny" in runs[0].facts["checkpoint"]
    assert (
        main(["report", "act.json", "evaluate.json", "dreams.json", "--out", "page.html", "--json", "report.json"]) == 0
    )
    assert Path("page.html").read_text().count("<video") == 6
    assert json.loads(Path("report.json").read_text())["figures"]["films"] == 3
    assert str(tmp_path) not in Path("page.html").read_text()
