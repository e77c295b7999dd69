"""What every Task keeps, whoever wrote it: exams, rl and selection rely on no more than this."""

import pytest

from feilun.exam.tasks import SPLITS, Task, open_tasks
from feilun.types import FinishReason, Reply, UserError

TASKS = {task.name: task for task in open_tasks()}
COUNT = 36


def reply(text: str) -> Reply:
    return Reply(text=text, finish_reason=FinishReason.STOP)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def test_samples_are_fixed_by_split_and_count_and_differ_from_one_another(task: Task) -> None:
    for split in SPLITS:
        samples = list(task.samples(split, COUNT))
        assert samples == list(task.samples(split, COUNT))
        assert len(samples) == COUNT
        assert len({s.id for s in samples}) == len({s.prompt for s in samples}) == COUNT
        assert all(s.task == task.name for s in samples)
        assert list(task.samples(split, COUNT // 2)) == samples[: COUNT // 2]


def test_splits_share_no_question(task: Task) -> None:
    prompts = [{sample.prompt for sample in task.samples(split, COUNT)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


def test_the_reference_answer_is_right_and_the_trap_is_not(task: Task) -> None:
    for sample in task.samples("gate", COUNT):
        right, wrong = (task.score(sample, reply(sample.reference[key])) for key in ("answer", "trap"))
        assert right.value == 1.0
        assert right.reason == "right"
        assert wrong.value == 0.0
        assert wrong.reason != "right"


def test_scores_are_pure_lie_in_zero_to_one_and_bear_a_reason(task: Task) -> None:
    for sample in task.samples("final", 6):
        for text in ("", "?", sample.prompt.messages[-1].text, "9" * 500, "\n\n", str(sample.reference["answer"]) + "。"):
            score = task.score(sample, reply(text))
            assert 0.0 <= score.value <= 1.0
            assert score.reason
            assert score == task.score(sample, reply(text))
        assert task.score(sample, reply("")).value == 0.0


def test_an_unknown_split_is_refused(task: Task) -> None:
    with pytest.raises(UserError, match="is unknown; allowed"):
        list(task.samples("validation", 1))
