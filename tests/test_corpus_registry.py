import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from feilun.artifacts import list_artifacts
from feilun.cli import main
from feilun.corpus import read_documents
from feilun.corpus.licences import LicencePolicy, licence_reasons, named_policy, why_refused
from feilun.corpus.registry import Registry, find_registry, load_registry
from feilun.types import UserError

WIKI = """
[[source]]
name = "wiki"
files = ["wiki/*.jsonl", "extra.txt"]
url = "https://example.org/wiki"
license = "CC-BY-SA-4.0"
upstream = ["维基百科"]
retrieved = 2026-11-01
sha256 = { "wiki/a.jsonl" = "%s" }
[[source]]
name = "rest"
files = ["*"]
url = "https://example.org/rest"
license = "CC0-1.0"
gated = true
""" % ("ab" * 32)


def registry(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "sources.toml"
    path.write_text(text, encoding="utf-8")
    return load_registry(path)


@pytest.mark.parametrize(
    ("licence", "in_open", "in_nc"),
    [
        ("MIT", None, None), ("mit", None, None), ("Apache-2.0 OR LicenseRef-scancode-proprietary-license", None, None),
        ("CC-BY-SA-4.0", None, None),
        ("GPL-2.0-only WITH Classpath-exception-2.0", None, None), ("public-domain", None, None), ("CC0", None, None),
        ("MIT/BSD/Apache-2.0", None, None), ("CC-BY/CC-BY-SA/Apache-2.0", None, None), ("Unlicense/CC-BY", None, None),
        ("ODC-By-1.0", None, None),
        ("CC-BY-NC-4.0", "licence:nc", None), ("MIT AND CC-BY-NC-SA-4.0", "licence:nc", None), ("CC-BY-NC-4.0 OR MIT", None, None),
        ("MIT/CC-BY-NC", "licence:nc", None), ("CC-BY-ND-4.0", "licence:closed", "licence:closed"),
        ("CC-BY-NC-ND-4.0", "licence:closed", "licence:closed"),
        ("BUSL-1.1", "licence:closed", "licence:closed"), ("", "licence:missing", "licence:missing"),
        (" / ", "licence:missing", "licence:missing"),
        ("my own terms", "licence:unknown", "licence:unknown"), ("MIT AND", "licence:unknown", "licence:unknown"),
        ("版权所有", "licence:unknown", "licence:unknown"),
    ],
)  # fmt: skip
def test_a_licence_is_judged_by_what_it_allows(licence: str, in_open: str | None, in_nc: str | None) -> None:
    assert why_refused(licence, LicencePolicy.OPEN) == in_open
    assert why_refused(licence, LicencePolicy.NC) == in_nc
    assert why_refused(licence, LicencePolicy.ANY) is None


def test_a_column_of_licences_is_judged_row_by_row() -> None:
    licences = pl.Series(["MIT", "", None, "CC-BY-NC-4.0", "MIT"])
    assert licence_reasons(licences, LicencePolicy.OPEN).to_list() == [None, "licence:missing", "licence:missing", "licence:nc", None]
    assert licence_reasons(licences.clear(), LicencePolicy.OPEN).dtype == pl.String
    assert named_policy("nc") is LicencePolicy.NC
    with pytest.raises(UserError, match="'free' is unknown; allowed: open, nc, any"):
        named_policy("free")


def test_a_file_belongs_to_the_first_entry_that_fits_it(tmp_path: Path) -> None:
    known = registry(tmp_path, WIKI)
    assert [known.entry_of(name).name for name in ("data/wiki/a.jsonl", "wiki/b.jsonl", "data/extra.txt", "data/x.md")] == [
        "wiki",
        "wiki",
        "wiki",
        "rest",
    ]  # type: ignore[union-attr]
    assert known.licence_of("data/wiki/a.jsonl") == "CC-BY-SA-4.0"
    assert Registry().licence_of("data/wiki/a.jsonl") == ""
    used = known.used(["data/wiki/a.jsonl", "wiki/b.jsonl"])
    assert [(entry["name"], entry["retrieved"], entry["upstream"]) for entry in used] == [("wiki", "2026-11-01", ["维基百科"])]
    assert find_registry([tmp_path, tmp_path / "none", "https://example.org/a.jsonl"]) == known
    assert find_registry([]) == Registry()


def test_a_checksum_that_differs_is_an_error_that_names_both(tmp_path: Path) -> None:
    known = registry(tmp_path, WIKI)
    known.check({"data/wiki/a.jsonl": "ab" * 32, "data/wiki/b.jsonl": "00" * 32, "other.md": "11" * 32})
    with pytest.raises(
        UserError, match=r"data/wiki/a.jsonl is not the file that source 'wiki' names: sha256 cdcd.*stated abab.*fetch it again"
    ):
        known.check({"data/wiki/a.jsonl": "cd" * 32})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[source]]\nname = 'a'", "source 1: files, url, license is missing"), ("x = 1", "nothing else; found: x"),
        ("= 3", "is not TOML"), ("", "found: none"),
        (WIKI.replace("gated", "gate"), "source 2: unknown key 'gate'; allowed: name, files"),
        (WIKI.replace('"rest"', '"wiki"'), "two sources bear the name 'wiki'"),
        (WIKI.replace("true", "'yes'"), "gated = 'yes' is not true or false"),
        (WIKI.replace('["*"]', '"*"'), "files = '\\*' is not a list of names"),
        (WIKI.replace("ab" * 32, "abc"), "64 hexadecimal digits"), (WIKI.replace("2026-11-01", "'lately'"), "is not a date"),
    ],
)  # fmt: skip
def test_a_registry_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry(tmp_path, text)


def test_a_registry_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the source registry"):
        load_registry(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not TOML"):
        load_registry(tmp_path / "b.toml")


def test_a_build_takes_what_the_policy_admits_and_its_manifest_names_the_sources(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "wiki").mkdir(parents=True)
    rows = [
        {"text": f"第{i}段不一样的文字，{word * 8}", "license": licence}
        for i, (word, licence) in enumerate((("甲", ""), ("乙", "CC-BY-NC-4.0"), ("丙", "自定")))
    ]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "wiki" / "a.jsonl").write_text(data, encoding="utf-8")
    (folder / "sources.toml").write_text(WIKI.replace("ab" * 32, hashlib.sha256(data.encode()).hexdigest()), encoding="utf-8")
    verb = ["--home", str(home), "corpus", "build", "c", str(folder), "--set", "workers=1", "--set", "min_chars=5"]
    assert main([*verb, "--licence-policy", "open"]) == 0
    made = list_artifacts(home, "corpus")[-1]
    assert made.manifest["counts"]["dropped"] == {"licence:nc": 1, "licence:unknown": 1}
    assert [entry["name"] for entry in made.manifest["recipe"]["sources"]] == ["wiki"]
    assert [d.license for part in ("train", "validation") for d in read_documents(made, part)] == ["CC-BY-SA-4.0"]  # type: ignore[arg-type]
    assert main([*verb, "--licence-policy", "nc"]) == 0
    assert list_artifacts(home, "corpus")[-1].manifest["counts"]["dropped"] == {"licence:unknown": 1}


def test_a_build_refuses_a_file_that_is_not_the_one_its_source_names(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki" / "a.jsonl").write_text('{"text": "一段足够长的文字，写在这里。"}\n', encoding="utf-8")
    (tmp_path / "s.toml").write_text(WIKI, encoding="utf-8")
    verb = [
        "--home",
        str(home),
        "corpus",
        "build",
        "c",
        str(tmp_path / "wiki"),
        "--sources",
        str(tmp_path / "s.toml"),
        "--set",
        "workers=1",
    ]
    assert main(verb) != 0
    assert "is not the file that source 'wiki' names" in capsys.readouterr().err
    assert list_artifacts(home, "corpus") == []
