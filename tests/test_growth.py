"""The growth of a home: what its view is told, its charts, and what can be taken away."""

import io
import json
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from growth_house import PRETRAIN, PROBE, SFT, blind, choose, make_corpus, make_first, make_home, make_run, make_turn, publish
from serve_house import error_of, open_house
from test_serve_auth import owner_headers

from feilun.artifacts import find, write_json
from feilun.serve.archive import artifact_of, run_log, run_told, whole_rows
from feilun.serve.birth import growth_version
from feilun.serve.charts import Curve, Point, curve_chart, measure_chart, nice, thinned, with_style
from feilun.serve.growth import growth
from feilun.serve.truth import truths
from feilun.store import Store

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    home = tmp_path_factory.mktemp("grown")
    with Store.open(home) as store:
        return home, make_home(home, store)


def grown(home: Path, language: str = "en") -> dict[str, Any]:
    with Store.open(home) as store:
        return growth(home, store, language)


# generations and the sentence


def test_generations_stand_in_order_with_what_each_showed(made: tuple[Path, list[str]]) -> None:
    home, models = made
    entries = grown(home)["generations"]
    assert [(e["number"], e["verdict"], e["against"]) for e in entries] == [
        (1, "first", None), (2, "promoted", 1), (3, "refused", 2), (4, "promoted", 2),
    ]  # fmt: skip
    assert [e["model"] for e in entries] == models
    assert [e["current"] for e in entries] == [False, False, False, True]
    assert [e["exams"]["number_hard"]["mean"] for e in entries] == [0.03, 0.87, 0.85, 0.95]
    assert [round(e["acceptance"]["mean"], 2) for e in entries] == [0.5, 0.6, 0.7, 0.8]
    assert entries[3]["lessons"]["rows"] == 466
    assert entries[3]["lessons"]["events"] == 600
    assert entries[1]["receipt"].startswith("runs/turn-1-gate@")
    with Store.open(home) as store:
        assert [entry["turn"] for entry in entries] == ["", *(turn.id for turn in store.turns())]
    assert entries[2]["why"] == ("number_hard: 0.03 -> 0.87",)


def test_the_sentence_names_who_chose_how_often_and_how_sure_that_is(made: tuple[Path, list[str]]) -> None:
    (said,) = grown(made[0])["truth"]
    assert said["text"]["en"] == "Gen 4 beats gen 2 in 61 % of blind choices (57–65 %, n = 212)."
    assert said["text"]["zh"] == "第 4 代在盲选中胜过第 2 代：61 % 选了它（57–65 %，n = 212）。"
    assert said["source"] == "held_out"
    assert "12 held-out simulated users" in said["about"]["en"]


@pytest.mark.parametrize(
    ("mean", "n", "users", "code"),
    [(0.61, 212, 12, "beats"), (0.52, 212, 12, "level"), (0.3, 212, 12, "loses"), (0.9, 19, 12, "early"), (0.9, 200, 2, "early")],
)
def test_a_sentence_says_no_more_than_its_interval(mean: float, n: int, users: int, code: str, home: Path) -> None:
    with Store.open(home) as store:
        make_home(home, store)
        note = store.read_note("progress") or {}
        note["table"][3]["blind"] = blind(mean, n, users)
        store.note("progress", note)
        (said,) = growth(home, store, "en")["truth"]
    assert said["code"] == code
    assert ("%" in said["text"]["zh"]) == (code != "early")


def test_a_home_without_a_demo_shows_what_was_promoted_and_rolled_back(home: Path) -> None:
    with Store.open(home) as store:
        assert growth(home, store, "zh")["truth"][0]["code"] == "none"
        first = publish(home, "models", "bought", {"config.json": {}})
        store.set_champion(first, "by hand, without a gate")
        assert growth(home, store, "zh")["truth"][0]["code"] == "first"
        second = publish(home, "models", "other", {"config.json": {}})
        store.set_champion(second, "a better one")
        assert growth(home, store, "zh")["truth"][0]["code"] == "unmeasured"
        store.rollback("it was rude")
        found = growth(home, store, "zh")
    assert [(e["number"], e["verdict"], e["current"]) for e in found["generations"]] == [
        (1, "first", True), (2, "by_hand", False), (1, "rollback", False),
    ]  # fmt: skip
    assert found["generations"][2]["why"] == ("it was rude",)
    assert found["truth"][0]["code"] == "first"
    assert found["charts"] == []
    assert found["probes"] == {"questions": [], "rows": []}
    assert found["birth"]["runs"] == []
    assert found["downloads"]["lessons"] is None


def test_a_turn_that_made_nothing_has_no_number(home: Path) -> None:
    with Store.open(home) as store:
        make_first(home, store)
        turn = store.start_turn({"name": "turn-1", "steps": [], "champion": {"model": "models/first@0", "epoch": 1}})
        store.finish_turn(turn, "refused", "there is nothing to learn yet")
        entries = growth(home, store, "en")["generations"]
        assert [(e["number"], e["verdict"], e["against"]) for e in entries] == [(1, "first", None), (None, "refused", None)]


def test_the_owners_own_choices_count_once_there_are_enough(home: Path) -> None:
    with Store.open(home) as store:
        first = make_first(home, store)
        second = make_turn(home, store, "turn-1", "promoted", 0.9)
        for number in range(12):
            choose(store, number, second, first)
        choose(store, 12, first, second, "tie")
        choose(store, 13, first, first)  # two answers of one model say nothing of two
        found = growth(home, store, "en")
        assert found["generations"][1]["own"]["wins"] == 12
        assert found["generations"][1]["own"]["ties"] == 1
        assert found["truth"][0]["code"] == "early"
        assert "12 blind choices" in found["truth"][0]["text"]["en"]
        for number in range(14, 34):
            choose(store, number, *((second, first) if number % 5 else (first, second)))
        (said,) = growth(home, store, "en")["truth"]
        assert (said["code"], said["source"], said["n"]) == ("beats", "own", 32)
        note = {"stage": "done", "table": [{"model": second, "blind": blind(0.4, 300)}]}
        store.note("progress", note)
        both = growth(home, store, "en")["truth"]
        assert [(row["source"], row["code"]) for row in both] == [("own", "beats"), ("held_out", "loses")]


def test_no_champion_no_claim() -> None:
    assert truths([], None)[0]["code"] == "none"


# probes, charts


def test_probes_stand_side_by_side(made: tuple[Path, list[str]]) -> None:
    found = grown(made[0])["probes"]
    assert found["questions"] == [PROBE]
    assert [(row["number"], row["replies"]) for row in found["rows"]] == [(1, ["3%"]), (2, ["87%"]), (3, ["85%"]), (4, ["95%"])]


def test_every_chart_has_a_table_and_is_named(made: tuple[Path, list[str]]) -> None:
    charts = {chart["name"]: chart for chart in grown(made[0])["charts"]}
    assert list(charts) == ["acceptance", "exam-number_hard", "exam-copying", "loss-pretrain", "loss-sft"]
    for chart in charts.values():
        root = ET.fromstring(chart["svg"])
        assert root.find(f"{SVG}title").text == chart["title"]
        assert root.find(f"{SVG}desc").text
        assert {len(row) for row in chart["rows"]} == {len(chart["columns"])}
    assert charts["exam-number_hard"]["rows"][1] == [2, "87.0%", "83.0%", "91.0%", 402]
    hard = ET.fromstring(charts["exam-number_hard"]["svg"])
    assert len(hard.findall(f"{SVG}circle[@class='refused']")) == 1
    assert len(hard.find(f"{SVG}polyline").get("points").split()) == 3
    assert len(ET.fromstring(charts["loss-pretrain"]["svg"]).findall(f"{SVG}path[@class='tick']")) == 3
    assert grown(made[0], "zh")["charts"][1]["title"] == "数的大小（难）"


def test_texts_in_charts_are_escaped_and_stand_alone_with_their_style() -> None:
    nasty = "\"><script>alert(1)</script>&'"
    chart = measure_chart(nasty, nasty, [Point(label=nasty, mean=0.5, low=0.4, high=0.6)])
    curve = curve_chart(nasty, nasty, Curve(values=[(1, 5.0), (2, float("nan"))], num_steps=10))
    for text in (chart, curve, with_style(chart)):
        root = ET.fromstring(text)
        assert "<script" not in text
        assert root.get("aria-label").startswith(nasty)
        assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {
            "svg", "title", "desc", "text", "path", "polyline", "polygon", "circle", "style",
        }  # fmt: skip
    assert "prefers" in with_style(chart) or "light-dark" in with_style(chart)


def test_charts_of_nothing_of_one_and_of_many() -> None:
    assert ET.fromstring(measure_chart("t", "d", [])).findall(f"{SVG}circle") == []
    one = ET.fromstring(measure_chart("t", "d", [Point(label="1", mean=1.0, low=0.9, high=1.0)]))
    assert len(one.findall(f"{SVG}path[@class='whisker']")) == 1
    many = ET.fromstring(measure_chart("t", "d", [Point(label=str(n), mean=n / 60, low=0, high=1) for n in range(60)]))
    assert len(many.findall(f"{SVG}text[@class='x']")) <= 10
    assert ET.fromstring(curve_chart("t", "d", Curve(values=[], num_steps=0))).find(f"{SVG}polyline") is None
    assert len(thinned([(n, 1.0) for n in range(5000)])) <= 161
    assert [nice(value) for value in (0, 0.3, 1, 5.3, 7, 11)] == [1.0, 0.4, 1.0, 6.0, 8.0, 20.0]


# the first generation while it is made


def test_the_first_generation_is_told_while_it_is_made(home: Path) -> None:
    with Store.open(home) as store:
        store.note("progress", {"stage": "corpus", "fraction": 0.1})
        assert growth(home, store, "en")["truth"][0]["code"] == "making"
        assert growth(home, store, "en")["birth"] == {"making": "corpus", "corpus": None, "runs": [], "samples": []}
        corpus, versions = make_corpus(home), []
        for steps in (25, 50):
            make_run(home, PRETRAIN, {"corpus": corpus.removeprefix("corpus/")}, steps)
            with (home / "runs" / PRETRAIN / "metrics.jsonl").open("a") as log:
                log.write('{"step": 99, "nl')
            note = {"stage": "pretrain", "fraction": steps / 100, "corpus": corpus, "run": PRETRAIN}
            store.note("progress", note)
            versions.append(growth_version(home, store, note))
            found = growth(home, store, "en")
            assert found["birth"]["making"] == "pretrain"
            assert found["birth"]["corpus"]["documents"]["dropped"] == 10
            assert found["birth"]["corpus"]["repaired"] == {"line_ends": 3}
            assert found["birth"]["runs"][0]["step"] == steps
            assert [chart["name"] for chart in found["charts"]] == ["loss-pretrain"]
        assert [row["step"] for row in found["birth"]["samples"]] == [0, 50]
        assert versions[0] != versions[1] == growth_version(home, store, note)


def test_both_runs_of_the_first_generation_are_found_behind_a_later_champion(made: tuple[Path, list[str]], home: Path) -> None:
    assert [run["name"] for run in grown(made[0])["birth"]["runs"]] == [PRETRAIN, SFT]
    with Store.open(home) as store:
        make_first(home, store)
        assert [run["name"] for run in growth(home, store, "en")["birth"]["runs"]] == [PRETRAIN, SFT]


@pytest.mark.parametrize("name", ["..", "../../etc", "/etc", "a/b", "", ".", "x\0y", None, 5])
def test_names_are_names_before_they_are_paths(name: Any, home: Path) -> None:
    (home / "runs").mkdir()
    write_json(home / "resolved.json", {"stage": "pretrain"})
    assert run_told(home, name) == {}
    assert run_log(home, name, "metrics.jsonl") == []
    assert artifact_of(home, name, "models") is None
    assert artifact_of(home, f"models/{name}@0123456789abcdef", "models") is None


def test_a_row_that_is_being_written_waits() -> None:
    assert list(whole_rows('{"step": 1}\n{"step": "中'.encode()[:-1])) == [{"step": 1}]
    assert list(whole_rows(b'{"a": 1}\n[1]\nnull\n{"b"\n{"c": 2}\n')) == [{"a": 1}, {"c": 2}]


# the routes


def test_the_view_is_asked_again_only_when_something_changed(home: Path) -> None:
    with open_house(home) as house:
        models = make_home(home, house.store)
        with house.client(owner_headers(house)) as client:
            answer = client.get("/api/growth", params={"lang": "en"})
            assert answer.json()["truth"][0]["code"] == "beats"
            again = client.get("/api/growth", params={"lang": "en"}, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            before = client.get("/api/status").json()["growth_version"]
            house.store.set_champion(models[0], "back")
            assert client.get("/api/status").json()["growth_version"] != before
            answer = client.get("/api/growth", headers={"If-None-Match": answer.headers["etag"], "Accept-Language": "zh"})
            assert answer.status_code == 200
            assert answer.json()["charts"][0]["title"] == "接受率"
            assert error_of(client.get("/api/growth", params={"lang": "fr"}), 400)["param"] == "lang"

            chart = client.get("/api/charts/exam-number_hard.svg")
            assert chart.headers["content-type"] == "image/svg+xml"
            assert "default-src 'none'" in chart.headers["content-security-policy"]
            assert "<style>" in chart.text
            assert "there are: acceptance" in error_of(client.get("/api/charts/nothing.svg"), 404)["message"]

            (gate,) = (path.name for path in (home / "runs").glob("turn-1-gate@*"))
            assert client.get(f"/api/receipts/{gate}").json()["receipt"]["verdict"] == "promoted"
            for ref in ("turn-1-gate@0000000000000000", PRETRAIN, "..%2f..", gate.partition("@")[0]):
                error_of(client.get(f"/api/receipts/{ref}"), 404)


def test_what_is_taken_away_is_whole(home: Path) -> None:
    with open_house(home) as house:
        with house.client(owner_headers(house)) as client:
            assert error_of(client.get("/api/download/champion"), 404)["code"] == "not_found"
        models = make_home(home, house.store)
        with house.client(owner_headers(house)) as client:
            taken = client.get("/api/download/champion")
            lessons, pairs = client.get("/api/download/lessons"), client.get("/api/download/lessons", params={"part": "pairs"})
            report = client.get("/api/download/report")
            (home / "report.html").write_text("<h1>one ring</h1>")
            page = client.get("/api/download/report")
            error_of(client.get("/api/download/lessons", params={"part": "../sft"}), 400)
    name = models[3].removeprefix("models/")
    for answer, file in ((taken, f"{name}.tar"), (lessons, "-sft.jsonl"), (report, "feilun-report.json"), (page, "feilun-report.html")):
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert file in answer.headers["content-disposition"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    with tarfile.open(fileobj=io.BytesIO(taken.content)) as archive:
        assert archive.getnames() == [f"{name}/{file}" for file in ("config.json", "model.safetensors", "name.txt", "manifest.json")]
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            assert file.read() == (find(home, models[3]).path / member.name.partition("/")[2]).read_bytes()
    assert json.loads(lessons.text)["name"] == "turn-3"
    assert pairs.text == ""
    assert report.json()["truth"][0]["code"] == "beats"
    assert page.text == "<h1>one ring</h1>"
