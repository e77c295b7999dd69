"""Briefs, the rules over ads, and the ads of the primer's world, against readings of their own."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.exam.tasks import open_tasks
from feilun.primer import copywriting as cw
from feilun.primer.dialogues import examples
from feilun.primer.numbers import holds_reserved_pair
from feilun.primer.shop import CATEGORIES, FEATURES, PRODUCTS, TONES, features_of
from feilun.primer.text import documents
from feilun.types import FinishReason, Reply, UserError

NUM_BRIEFS = 600
ZH = cw.Brief(lang="zh", product="伞", feature="轻便", price=59, tone="lively", limit=20)
EN = cw.Brief(lang="en", product="umbrellas", feature="light", price=59, tone="formal", limit=10)


def broken(brief: cw.Brief, text: str) -> list[str]:
    return [constraint.name for constraint in cw.check(brief, text) if not constraint.ok]


# --- briefs


words = st.text(st.sampled_from("伞茶轻新ab é7-'"), min_size=1, max_size=12).map(str.strip).filter(bool)
made = st.builds(
    cw.Brief, lang=st.sampled_from(["zh", "en"]), product=words, feature=words, price=st.integers(1, 999),
    tone=st.sampled_from(list(TONES)), limit=st.integers(1, 200),
)  # fmt: skip


@given(made)
def test_a_brief_survives_its_way_through_data(brief):
    assert cw.Brief.from_json(brief.to_json()) == brief


def test_every_brief_of_the_shop_is_read_back_in_every_wording():
    rng = random.Random(0)
    for lang, wordings in cw.WORDINGS.items():
        for product in PRODUCTS:
            for feature in features_of(product):
                brief = cw.draw_brief(rng, lang, cw.Subject(product, feature))
                assert [cw.parse_brief(cw.brief_text(brief, number)) for number in range(len(wordings))] == [brief] * len(wordings)


def test_other_questions_are_no_briefs():
    for text in (
        "",
        "9.11 和 9.8 哪个大?",
        "写一句广告。",
        cw.brief_text(ZH) + "快!",
        cw.brief_text(ZH).replace("59", "059"),
        "Write an ad.",
    ):
        assert cw.parse_brief(text) is None


@pytest.mark.parametrize(
    "change",
    [
        {"lang": "fr"}, {"tone": "sad"}, {"price": 0}, {"price": 1000}, {"limit": 0}, {"product": ""}, {"product": " 伞"},
        {"product": "伞,茶"}, {"feature": "轻" * 41}, {"feature": "a\nb"},
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_says_what_is_allowed(change):
    with pytest.raises(UserError, match=r"allowed|wanted"):
        cw.Brief.from_json({**ZH.to_json(), **change})


@pytest.mark.parametrize("change", [{"price": "59"}, {"price": True}, {"extra": 1}])
def test_a_brief_of_another_shape_is_refused(change):
    with pytest.raises(UserError, match="a brief is lang"):
        cw.Brief.from_json({**ZH.to_json(), **change})


# --- rules


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("轻便的伞,只要59元,快来看看!", []), ("轻便的伞,只要59元,快来看看！", []), ("轻便的伞,只要５９元,快来看看!", []),
        ("轻便的帽子,只要59元,快来看看!", ["product"]), ("好看的伞,只要59元,快来看看!", ["feature"]),
        ("轻便的伞,快来看看!", ["price"]), ("轻便的伞,原价79元,只要59元,快来看看!", ["price"]),
        ("轻便的伞,只要59.5元,快来看看!", ["price"]),
        ("轻便的伞,59元,只要59元,快来看看!", ["price"]), ("轻便的伞,只要590元,快来看看!", ["price"]),
        ("轻便的伞,只要59元,快来看看。", ["tone"]), ("轻便的伞,只要59元!", ["tone"]), ("快来!轻便的伞只要59元。", ["tone"]),
        ("轻便的伞,只要59元,质量很好很好,人人都喜欢,快来看看!", ["limit"]),
        ("", ["product", "feature", "price", "limit", "tone", "language"]),
    ],
)  # fmt: skip
def test_rules_in_chinese(text, names):
    assert broken(ZH, text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Our light umbrellas, only 59 yuan, please visit us.", []), ("LIGHT Umbrellas for 59 yuan: you are welcome.", []),
        ("Our slight umbrellas, only 59 yuan, please visit us.", ["feature"]), ("Our light umbrella, only 59 yuan, kindly.", ["product"]),
        ("Our light umbrellas, only 59 yuan, please visit us!", ["tone"]), ("Wow, light umbrellas, only 59 yuan, please.", ["tone"]),
        ("Our light umbrellas, only 59 yuan.", ["tone"]), ("Our light umbrellas are only 59 yuan, please visit us right now.", ["limit"]),
        ("欢迎各位新老朋友光临本店放心选购敬请各位多多惠顾,please: light umbrellas 59", ["language"]),
    ],
)  # fmt: skip
def test_rules_in_english(text, names):
    assert broken(EN, text) == names


def test_plain_only_forbids_shouting_and_digits_in_a_name_are_no_price():
    plain = cw.Brief(lang="zh", product="7号电池", feature="耐用", price=5, tone="plain", limit=20)
    assert broken(plain, "耐用的7号电池,只要5元。") == []
    assert broken(plain, "耐用的7号电池,只要5元!") == ["tone"]
    found = {constraint.name: constraint for constraint in cw.check(plain, "耐用的电池,只要6元,买2送1。")}
    assert (found["price"].found, found["price"].wanted) == ("6, 2, 1", "5")
    assert (found["product"].found, found["product"].wanted) == ("", "7号电池")
    assert (found["limit"].found, found["limit"].wanted) == ("13", "20")


def test_lengths_are_characters_without_punctuation_and_words():
    assert cw.length("zh", "轻便的伞,只要59元。") == 9
    assert cw.length("en", "Don't miss it: light, well-made umbrellas for 59 yuan!") == 9


# --- ads


def test_good_ads_of_every_style_hold_and_differ_in_what_no_rule_asks():
    for asked in cw.briefs("open", NUM_BRIEFS):
        brief = asked.brief
        ads = {style: cw.good_ad(asked.rng, brief, style) for style in cw.STYLES}
        assert not any(broken(brief, text) for text in ads.values()), ads
        assert {style for style, text in ads.items() if "?" in text} == {"hook"}
        first = {style for style, text in ads.items() if text.index(str(brief.price)) < text.index(brief.product)}
        assert first == {"price_first"}


def test_the_first_examples_lean_carelessly():
    asked = list(cw.briefs("open", 3000))
    ads = [cw.careless_ad(a.rng, a.brief) for a in asked]
    faults = [broken(a.brief, text) for a, text in zip(asked, ads, strict=True)]
    assert 0.25 < sum(not names for names in faults) / 3000 < 0.4
    assert {name for names in faults for name in names} == {"price", "limit", "tone"}
    assert 0.04 < sum("?" in text for text in ads) / 3000 < 0.1
    # The lean follows from the brief, so that a model which takes the likeliest word shows it.
    dear = [names for a, names in zip(asked, faults, strict=True) if a.brief.price >= cw.DEAR_FROM]
    assert sum("price" in names for names in dear) / len(dear) > 0.85


def test_a_broken_ad_breaks_and_still_answers():
    for asked in cw.briefs("gate", 200):
        assert len(broken(asked.brief, cw.broken_ad(asked.brief, asked.subject.product))) >= 2


# --- splits and shares


def any_of(names) -> str:
    return "|".join(sorted(set(names), key=len, reverse=True))


FEATURE_EN, PRODUCT_EN = dict(FEATURES), {product.zh: product.en for product in PRODUCTS}
JOINED_ZH = re.compile(f"({any_of(FEATURE_EN)})的({any_of(PRODUCT_EN)})")
JOINED_EN = re.compile(rf"\b({any_of(FEATURE_EN.values())}) ({any_of(PRODUCT_EN.values())})\b")


def joined(text: str) -> set[tuple[str, str]]:
    """(product, feature) in English that stand side by side."""
    chinese = {(PRODUCT_EN[product], FEATURE_EN[feature]) for feature, product in JOINED_ZH.findall(text)}
    return chinese | {(product, feature) for feature, product in JOINED_EN.findall(text)}


def test_what_an_exam_asks_is_joined_in_no_document_example_or_prompt():
    reserved = {(a.subject.product.en, a.subject.feature[1]) for split in ("gate", "final") for a in cw.briefs(split, 402)}
    assert len(reserved) > 80
    texts = [document.text for document in documents(0, 6000)]
    rows = [row for row in examples(0, 3000) if row["task"] == cw.TASK]
    texts += [row["messages"][-1]["content"] for row in rows]
    prompts = cw.brief_rows(0, 200)
    texts += [text for row in prompts for text in row["edits"].values()]
    shown = {pair for text in texts for pair in joined(text)}
    assert len(shown) > 300
    assert not shown & reserved
    asked = [
        parsed for row in (*({"prompt": r["messages"][-2]["content"]} for r in rows), *prompts) if (parsed := cw.parse_brief(row["prompt"]))
    ]
    assert len(asked) == len(rows) + len(prompts)
    names = {product.zh: product.en for product in PRODUCTS}, dict(FEATURES)
    assert not {(names[0].get(b.product, b.product), names[1].get(b.feature, b.feature)) for b in asked} & reserved


def test_prompts_hold_their_constraints_as_data_and_edits_of_both_kinds():
    rows = cw.brief_rows(3, 120)
    assert len({row["prompt"] for row in rows}) == 120
    assert Counter(row["lang"] for row in rows) == {"zh": 60, "en": 60}
    for row in rows:
        brief = cw.parse_brief(row["prompt"])
        assert brief is not None
        assert {key: row["brief"][key] for key in brief.to_json()} == brief.to_json()
        assert set(row["edits"]) == set(row["wrong_edits"]) == set(cw.STYLES)
        assert not any(broken(brief, text) for text in row["edits"].values())
        assert all(broken(brief, text) for text in row["wrong_edits"].values())
        assert not holds_reserved_pair(str(row))
    assert cw.brief_rows(3, 120) == rows != cw.brief_rows(4, 120)


# --- the exam


def test_the_exam_scores_by_rules_and_names_the_first_that_breaks():
    (task,) = open_tasks(("copywriting",))
    for split in ("gate", "final"):
        samples = list(task.samples(split, 402))
        assert len({sample.prompt for sample in samples}) == 402
        assert set(Counter(sample.cell for sample in samples)) == set(TONES)
        for sample in samples[:100]:
            scores = [task.score(sample, Reply(text=sample.reference[key], finish_reason=FinishReason.STOP)) for key in ("answer", "trap")]
            assert [(scores[0].value, scores[0].reason), (scores[1].value, scores[1].reason)] == [(1.0, "right"), (0.0, "product")]
    with pytest.raises(UserError, match="split 'train' is unknown"):
        next(task.samples("train", 1))


def test_every_category_has_a_name_that_is_no_product():
    assert {product.category for product in PRODUCTS} == set(CATEGORIES)
    assert not {name for pair in CATEGORIES.values() for name in pair} & {name for product in PRODUCTS for name in product[:2]}
