"""The optimizer Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon): momentum, made orthogonal, for matrices."""
import torch


def orthogonalize(x):
    """[..., rows, columns]: singular values to about 1 (0.7 to 1.2), by five steps of Jordan's quintic Newton-Schulz iteration."""
    tall = x.shape[-2] > x.shape[-1]
    dtype, x = x.dtype, x.bfloat16() if x.is_cuda else x
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).to(dtype)


class Muon:
    """Updates are as large as AdamW's usual ones, so that its learning rates and weight decay apply (Liu et al. 2025,
    arXiv 2502.16982): 0.2 times the root of the larger side. Matrices of one shape are computed together.
    """

    def __init__(self, matrices, momentum=0.95, decay=0.05):
        self.momentum, self.decay, self.groups = momentum, decay, {}
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.averages = {shape: torch.zeros(len(group), *shape, device=group[0].device)
                         for shape, group in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, matrices in self.groups.items():
            gradients, average = torch.stack([m.grad for m in matrices]), self.averages[shape]
            average.lerp_(gradients, 1 - self.momentum)
            update = orthogonalize(gradients.lerp(average, self.momentum))  # Nesterov's
            torch._foreach_mul_(matrices, 1 - rate * self.decay)
            torch._foreach_add_(matrices, list(update.unbind()), alpha=-rate * 0.2 * max(shape) ** 0.5)

    def state_dict(self):
        return self.averages

    def load_state_dict(self, state):
        for shape, average in state.items():
            self.averages[shape].copy_(average)
