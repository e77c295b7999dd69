"""Which model answers: champions that change under requests, models that an exam names, models that are broken."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serve_house import TOKENIZER, House, ask, error_of, make_model, open_house, until, wait_for

from feilun.config import ServeSettings
from feilun.engine.chat import TextChat
from feilun.serve.app import run
from feilun.serve.champion import Models
from feilun.types import UserError


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


def test_before_there_is_a_model(house):
    headers = house.key("k", "chat")
    with house.client(headers) as api:
        assert api.get("/health").json() == {"status": "starting", "model": None}
        early = api.post("/v1/chat/completions", json=ask("hi"))
        assert error_of(early, 503)["code"] == "model_not_ready"
        assert int(early.headers["retry-after"]) > 0
        assert api.get("/v1/models").json()["data"] == []
        wait_for(house, house.promote("first"))
        assert api.post("/v1/chat/completions", json=ask("hi")).json()["choices"][0]["message"]["content"] == "first: hi"


def test_a_swap_under_load_fails_nobody(house):
    refs = [house.promote("gen0")]
    wait_for(house, refs[0])
    headers, stop = house.key("k", "chat"), threading.Event()

    def keep_asking(number: int) -> set[tuple[str, str]]:
        seen = set()
        with house.client(headers) as api:
            while not stop.is_set():
                answer = api.post("/v1/chat/completions", json=ask("?", stream=number % 2 == 0))
                assert answer.status_code == 200, answer.text
                if number % 2:
                    seen.add((answer.json()["model"], answer.json()["choices"][0]["message"]["content"]))
                else:
                    assert '"error"' not in answer.text
                    assert answer.text.endswith("data: [DONE]\n\n")
        return seen

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(keep_asking, number) for number in range(4)]
        for number in range(1, 4):
            refs.append(house.promote(f"gen{number}"))
            wait_for(house, refs[-1])
        stop.set()
        seen = set().union(*(asker.result() for asker in askers))
    assert seen <= {(ref, f"gen{number}: ?") for number, ref in enumerate(refs)}
    assert {ref for ref, _ in seen} >= {refs[0], refs[1]}
    until(lambda: [engine.closed for engine in house.engines] == [True, True, True, False])


def test_a_request_keeps_its_model_to_its_end(house):
    first = house.promote("first")
    wait_for(house, first)
    headers = house.key("k", "chat")
    house.go.clear()
    with house.client(headers) as api, api.stream("POST", "/v1/chat/completions", json=ask("x", stream=True)) as response:
        lines = response.iter_lines()
        next(lines)
        second = house.promote("second")
        wait_for(house, second)
        assert not house.engines[0].closed
        house.go.set()
        assert all(first in line for line in lines if line.startswith("data: {"))
    until(lambda: house.engines[0].closed)
    assert not house.engines[1].closed


def test_a_broken_champion_changes_nothing(house):
    first = house.promote("first")
    wait_for(house, first)
    broken = make_model(house.home, "second")
    house.home.joinpath(broken, "name.txt").write_text("tampered")
    house.store.set_champion(broken, "test")
    until(lambda: house.store.read_note("champion_failure"))
    failure = house.store.read_note("champion_failure")
    assert failure["model"] == broken
    assert "content differs" in failure["error"]
    with house.client(house.key("k", "chat")) as api:
        assert api.post("/v1/chat/completions", json=ask("x")).json()["model"] == first
        house.store.rollback("broken")
        third = house.promote("third")
        wait_for(house, third)
        until(lambda: house.store.read_note("champion_failure") == {})


def test_a_failed_load_is_tried_again_and_forgotten_after_a_rollback(tmp_path):
    """The directory comes back whole: the same champion row is then taken, without another promotion."""
    house = House(tmp_path)

    def factory(path: Path, ref: str, settings: ServeSettings) -> TextChat:
        if (tmp_path / "trouble").exists():
            raise MemoryError("no room")
        return house.load(path, ref, settings)

    async def story() -> None:
        with house.store as store:
            models = Models(tmp_path, ServeSettings(), store, factory, retry_seconds=0.0)
            first, second = make_model(tmp_path, "first"), make_model(tmp_path, "second")
            store.set_champion(first, "test")
            await models.look()
            (tmp_path / "trouble").touch()
            store.set_champion(second, "test")
            await models.look()
            assert (models.current.ref, models.epoch) == (first, 1)
            assert store.read_note("champion_failure")["epoch"] == 2
            store.rollback("broken")
            await models.look()
            assert (models.current.ref, models.epoch) == (first, 3)
            assert store.read_note("champion_failure") == {}
            store.set_champion(second, "test")
            await models.look()
            (tmp_path / "trouble").unlink()
            await models.look()
            assert (models.current.ref, models.epoch) == (second, 4)
            assert store.read_note("champion_failure") == {}
            await models.close()

    asyncio.run(story())


def test_a_rollback_is_taken(house):
    first = house.promote("first")
    wait_for(house, first)
    wait_for(house, house.promote("second"))
    house.store.rollback("test")
    wait_for(house, first)


def test_an_exam_may_name_any_model(house):
    champion = house.promote("champ")
    wait_for(house, champion)
    others = [make_model(house.home, name) for name in ("a", "b", "c")]
    with house.client(house.key("examiner", "chat", "exam")) as api, house.client(house.key("k", "chat")) as plain:

        def content(model: str) -> str:
            return api.post("/v1/chat/completions", json={**ask("x"), "model": model}).json()["choices"][0]["message"]["content"]

        names = [others[0], others[0].removeprefix("models/"), "b", others[2], others[0], champion, champion.removeprefix("models/")]
        assert [content(name) for name in names] == ["a: x", "a: x", "b: x", "c: x", "a: x", "champ: x", "champ: x"]
        assert error_of(plain.post("/v1/chat/completions", json={**ask("x"), "model": others[0]}), 404)["code"] == "model_not_found"
        assert error_of(plain.get(f"/v1/models/{others[0]}"), 404)["code"] == "model_not_found"
        assert error_of(api.post("/v1/chat/completions", json={**ask("x"), "model": "nobody@0"}), 404)["param"] == "model"
        assert api.get(f"/v1/models/{others[1]}").json()["ref"] == others[1]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(content, others * 4))
        assert answers == ["a: x", "b: x", "c: x"] * 4
    until(lambda: sum(not engine.closed for engine in house.engines) == 3)


def test_candidate_is_a_row_too(house):
    wait_for(house, house.promote("champ"))
    with house.client(house.key("examiner", "chat", "exam")) as api:
        body = {**ask("x"), "model": "candidate"}
        assert "no candidate" in error_of(api.post("/v1/chat/completions", json=body), 404)["message"]
        house.store.set_candidate(make_model(house.home, "next"))
        assert api.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "next: x"


def test_shutdown_closes_every_model(tmp_path):
    with open_house(tmp_path) as house:
        wait_for(house, house.promote("first"))
        headers = house.key("k", "chat")
        with house.client(headers) as api:
            answer = api.post("/v1/chat/completions", json=ask("x")).json()
    assert all(engine.closed for engine in house.engines)
    assert answer["model"].startswith("models/first@")


def test_an_open_host_needs_a_key(tmp_path):
    with pytest.raises(UserError, match="no API key exists"):
        run(tmp_path, ServeSettings(host="0.0.0.0", port=0))


def test_the_own_engine_answers(tmp_path):
    """The default factory on a model directory: whole, streamed, left in the middle, several at once."""
    import torch

    from feilun.artifacts import draft
    from feilun.chat import ChatFormat
    from feilun.config import ModelShape
    from feilun.model.checkpoint import save_model
    from feilun.model.transformer import Transformer
    from feilun.serve.app import serving

    house = House(tmp_path)
    torch.manual_seed(0)
    shape = ModelShape(
        vocab_size=320, width=64, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=64, ffn_width=64, max_tokens=256, tie_embeddings=False
    )  # fmt: skip
    with draft(tmp_path, "models", "tiny") as work:
        model = Transformer(shape)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        # Surer of itself, and never of an end: how a processor rounds must not decide when an answer stops.
        model.lm_head.weight.data.mul_(8)
        model.lm_head.weight.data[[*ChatFormat(TOKENIZER).stop_ids]] = 0
        save_model(work.path, model, TOKENIZER, chat=True)
    ref = f"models/{work.artifact.ref}"
    house.store.set_champion(ref, "test")
    headers = house.key("k", "chat", "feedback")
    with serving(tmp_path, ServeSettings(port=0)) as address:
        house.url = address.url
        wait_for(house, ref)
        with house.client(headers) as api:
            body = ask("9.11?", max_tokens=24, temperature=1, seed=3)
            whole = api.post("/v1/chat/completions", json=body).json()
            assert api.post("/v1/chat/completions", json=body).json()["choices"] == whole["choices"]
            assert (whole["model"], whole["usage"]["completion_tokens"]) == (ref, 24)
            streamed = api.post("/v1/chat/completions", json={**body, "stream": True}).text
            pieces = [
                json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                for line in streamed.splitlines()
                if line.startswith("data: {")
            ]
            assert "".join(pieces) == whole["choices"][0]["message"]["content"]
            with api.stream("POST", "/v1/chat/completions", json={**body, "max_tokens": None, "stream": True}) as response:
                next(response.iter_lines())
            several = api.post("/v1/chat/completions", json={**body, "n": 4}).json()["choices"]
            assert len({choice["message"]["content"] for choice in several}) > 1
    house.store.close()
