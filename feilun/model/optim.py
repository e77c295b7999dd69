"""Muon for the matrices of the body, AdamW for the rest; state is plain tensors that a checkpoint holds as they are.

Muon (Jordan 2024): momentum, then the nearest semi-orthogonal matrix by a quintic Newton-Schulz iteration, scaled by
sqrt(max(1, rows / columns)). Matrices of equal shape are stacked, so that one batched product serves all layers.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from feilun.config import OptimiserSettings

__all__ = ["Optimiser", "schedule"]

# Coefficients of the quintic iteration from the Muon reference (github.com/KellerJordan/Muon).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
ADAM_BETAS = (0.9, 0.95)
EPS = 1e-8


def schedule(step: int, num_steps: int, warmup_fraction: float, cooldown_fraction: float) -> float:
    """Factor on the peak learning rate: linear warm-up, constant, linear to zero over the last `cooldown_fraction`."""
    warmup, cooldown = max(1, round(num_steps * warmup_fraction)), max(1, round(num_steps * cooldown_fraction))
    return min(1.0, (step + 1) / warmup, (num_steps - step) / cooldown)


def orthogonalise(update_SRC: Tensor, dtype: torch.dtype) -> Tensor:
    """Stack S of [R, C] matrices -> the nearest semi-orthogonal ones, approximately (singular values in about .7 to 1.2)."""
    wide = update_SRC.shape[-2] <= update_SRC.shape[-1]
    x = update_SRC.to(dtype)
    x = x if wide else x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(dtype)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).float()


class Optimiser:
    """One object for all parameters of a model. `step(factor)` applies gradients at `factor` times the peak rates."""

    def __init__(self, model: nn.Module, settings: OptimiserSettings, matrix_dtype: torch.dtype):
        self.settings, self.matrix_dtype = settings, matrix_dtype
        groups: dict[tuple[int, ...], list[tuple[str, nn.Parameter]]] = defaultdict(list)
        self.others: list[tuple[str, nn.Parameter]] = []
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and ".layers." in name:
                groups[tuple(parameter.shape)].append((name, parameter))
            else:
                self.others.append((name, parameter))
        self.groups = dict(groups)
        self.momentum = {shape: torch.zeros(len(members), *shape) for shape, members in self.groups.items()}
        self.first = {name: torch.zeros_like(p) for name, p in self.others}
        self.second = {name: torch.zeros_like(p) for name, p in self.others}
        self.num_steps = 0

    @torch.no_grad()
    def step(self, factor: float) -> None:
        self.num_steps += 1
        self._step_matrices(factor * self.settings.matrix_lr)
        self._step_others(factor * self.settings.other_lr)

    def _step_matrices(self, lr: float) -> None:
        beta = self.settings.momentum
        for shape, members in self.groups.items():
            parameters: list[Tensor] = [p for _, p in members]
            grad_SRC = torch.stack([_grad(p) for p in parameters])
            momentum_SRC = self.momentum[shape]
            momentum_SRC.lerp_(grad_SRC, 1 - beta)
            nesterov = grad_SRC.lerp_(momentum_SRC, beta)
            update = orthogonalise(nesterov, self.matrix_dtype) * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_mul_(parameters, 1 - lr * self.settings.weight_decay)
            torch._foreach_add_(parameters, list(update.unbind()), alpha=-lr)

    def _step_others(self, lr: float) -> None:
        names = [n for n, _ in self.others]
        parameters: list[Tensor] = [p for _, p in self.others]
        grads = [_grad(p) for p in parameters]
        first, second = [self.first[n] for n in names], [self.second[n] for n in names]
        beta1, beta2 = ADAM_BETAS
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, (1 - beta2**self.num_steps) ** 0.5)
        torch._foreach_add_(scale, EPS)
        torch._foreach_addcdiv_(parameters, first, scale, -lr / (1 - beta1**self.num_steps))

    def zero_grad(self) -> None:
        for _, parameter in self._all():
            parameter.grad = None

    def _all(self) -> Iterable[tuple[str, nn.Parameter]]:
        yield from self.others
        for members in self.groups.values():
            yield from members

    def state_dict(self) -> dict[str, Any]:
        momentum = {"x".join(map(str, shape)): value for shape, value in self.momentum.items()}
        return {"num_steps": self.num_steps, "momentum": momentum, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_steps = state["num_steps"]
        self.momentum = {shape: state["momentum"]["x".join(map(str, shape))] for shape in self.groups}
        self.first, self.second = dict(state["first"]), dict(state["second"])


def _grad(parameter: Tensor) -> Tensor:
    return parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
