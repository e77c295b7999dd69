import copy
import math

import pytest
import torch
from train_house import SHAPE, small_model

from feilun.config import OptimiserSettings
from feilun.model.optim import ADAM_BETAS, EPS, Optimiser, orthogonalise, schedule
from feilun.model.transformer import Transformer


def fill_gradients(model: Transformer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_what_is_no_matrix_of_the_body_moves_as_under_adamw() -> None:
    ours, theirs = small_model(), small_model()
    optimiser = Optimiser(ours, OptimiserSettings(), torch.float32)
    names = [name for name, _ in optimiser.others]
    assert "model.embed_tokens.weight" in names
    assert "model.norm.weight" in names
    assert not any("proj" in name for name in names)
    parameters = dict(theirs.named_parameters())
    reference = torch.optim.AdamW([parameters[n] for n in names], lr=3e-3, betas=ADAM_BETAS, eps=EPS, weight_decay=0.0)
    for step in range(6):
        fill_gradients(ours, step)
        fill_gradients(theirs, step)
        factor = 1.0 - step / 10
        reference.param_groups[0]["lr"] = factor * 3e-3
        optimiser.step(factor)
        reference.step()
        for name in names:
            torch.testing.assert_close(ours.get_parameter(name), parameters[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 128, 64), (2, 64, 192)])
def test_updates_of_matrices_are_nearly_semi_orthogonal(shape: tuple[int, ...]) -> None:
    update = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.float32)
    values = torch.linalg.svdvals(update)
    # Five iterations leave the smallest values of a square matrix behind; that is Muon's bargain.
    assert update.shape == shape
    assert float(values.max()) < 1.25
    assert float((values > 0.6).float().mean()) > 0.95
    tall = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)).mT.contiguous(), torch.float32)
    torch.testing.assert_close(tall.mT, update, atol=1e-4, rtol=1e-3)


def test_a_first_step_moves_each_matrix_by_its_rate_and_decay() -> None:
    model = small_model()
    before = copy.deepcopy(dict(model.named_parameters()))
    fill_gradients(model, 0)
    gradient = model.get_parameter("model.layers.0.mlp.gate_proj.weight").grad
    assert gradient is not None
    Optimiser(model, OptimiserSettings(matrix_lr=0.02, weight_decay=0.1), torch.float32).step(0.5)
    lr, name = 0.01, "model.layers.0.mlp.gate_proj.weight"
    # Momentum starts at zero: the Nesterov mix of a first gradient points where the gradient does.
    rows, columns = before[name].shape
    wanted = before[name] * (1 - lr * 0.1) - lr * (rows / columns) ** 0.5 * orthogonalise(gradient[None], torch.float32)[0]
    torch.testing.assert_close(model.get_parameter(name), wanted, atol=1e-4, rtol=1e-3)


def test_a_saved_optimiser_goes_on_as_the_first_would() -> None:
    model = small_model()
    optimiser = Optimiser(model, OptimiserSettings(), torch.float32)
    for step in range(3):
        fill_gradients(model, step)
        optimiser.step(1.0)
    other = small_model(9)
    other.load_state_dict(model.state_dict())
    resumed = Optimiser(other, OptimiserSettings(), torch.float32)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for step in range(3, 6):
        for each, rule in ((model, optimiser), (other, resumed)):
            fill_gradients(each, step)
            rule.step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_step_at_rate_zero_and_missing_gradients_change_nothing() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    optimiser = Optimiser(model, OptimiserSettings(weight_decay=0.1), torch.float32)
    fill_gradients(model, 0)
    optimiser.step(0.0)
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    Optimiser(model, OptimiserSettings(weight_decay=0.0), torch.float32).step(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_every_parameter_has_one_rule() -> None:
    model = Transformer(SHAPE)
    optimiser = Optimiser(model, OptimiserSettings(), torch.float32)
    names = [name for name, _ in optimiser.others] + [name for members in optimiser.groups.values() for name, _ in members]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_the_schedule_warms_up_holds_and_falls() -> None:
    factors = [schedule(step, 100, 0.1, 0.4) for step in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert factors[10:61] == [1.0] * 51
    assert factors[60:] == pytest.approx([(100 - step) / 40 for step in range(60, 100)])
    assert factors[-1] > 0
    assert all(math.isfinite(schedule(0, n, 0.0, 0.0)) and schedule(0, n, 0.0, 0.0) == 1.0 for n in (1, 2, 50))
