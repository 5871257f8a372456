"""The linear-chain conditional random field: what a sentence's labels score together (Lafferty et al. 2001), exactly.

A path of labels scores the sum of its emissions, of a number for each label that follows another, and of one for the first and
one for the last label. Places that aren't asked for are passed over, wherever they stand. All in log space.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..tokens.tags import marks_ends, may_follow

FORBIDDEN = -1e4  # added to what no scheme allows: e to this power is 0, and no gradient of it is undefined


def forbidden(labels: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """What the labels' scheme forbids, as bool: one label after another (L, L), as the first (L,), and as the last one (L,)."""
    ends = marks_ends(labels)
    between = [[not may_follow(before, after, ends) for after in labels] for before in labels]
    first = [not may_follow(None, label, ends) for label in labels]
    last = [not may_follow(label, None, ends) for label in labels]
    return torch.tensor(between), torch.tensor(first), torch.tensor(last)


class Chain(nn.Module):
    """How `count` labels follow each other: `between` (L, L), from the row's label to the column's, `first` and `last` (L,).
    What `exclude` names can't be. At first all that can be scores 0."""

    not_between: Tensor
    not_first: Tensor
    not_last: Tensor

    def __init__(self, count: int):
        super().__init__()
        for name, shape in (("between", (count, count)), ("first", (count,)), ("last", (count,))):
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            self.register_buffer(f"not_{name}", torch.zeros(shape, dtype=torch.bool), persistent=False)

    def exclude(self, labels: Sequence[str]) -> "Chain":
        """What the scheme of these tags forbids; gives itself."""
        self.not_between, self.not_first, self.not_last = forbidden(labels)
        return self

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """`between`, `first` and `last`, with what is forbidden."""
        found = [
            getattr(self, name).masked_fill(getattr(self, f"not_{name}"), FORBIDDEN) for name in ("between", "first", "last")
        ]
        return found[0], found[1], found[2]

    def log_partition(self, emissions: Tensor, asked: Tensor) -> Tensor:
        """The log of the sum over all paths of e to their scores, (B,), by the forward algorithm; of emissions (B, T, L), at
        the places `asked` (B, T) for. A row without any has 0."""
        between, first, last = self.scores()
        alpha, begun = emissions.new_zeros(emissions[:, 0].shape), asked.new_zeros(len(asked))
        for place in range(emissions.size(1)):
            onward = torch.where(begun[:, None], torch.logsumexp(alpha[:, :, None] + between, dim=1), first.expand_as(alpha))
            alpha = torch.where(asked[:, place, None], onward + emissions[:, place], alpha)
            begun = begun | asked[:, place]
        return torch.where(begun, torch.logsumexp(alpha + last, dim=1), 0.0)

    def path_score(self, emissions: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
        """The score of one path of each row, (B,): `labels` (B, T) at the places asked for."""
        between, first, last = self.scores()
        known = labels.masked_fill(~asked, 0)
        total = (emissions.gather(2, known[..., None])[..., 0] * asked).sum(dim=1)
        before, has_before = _carried(known, asked)
        total = total + (between[before, known] * (asked & has_before)).sum(dim=1)
        total = total + (first[known] * (asked & ~has_before)).sum(dim=1)
        final, has_final = _final(known, asked)
        return total + last[final] * has_final

    def nats(self, emissions: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
        """-log p of each row's path, (B,)."""
        return self.log_partition(emissions, asked) - self.path_score(emissions, labels, asked)

    @torch.no_grad()
    def best_path(self, emissions: Tensor) -> list[int]:
        """The likeliest path of a sentence, of emissions (T, L) (Viterbi 1967); of equally likely labels the first."""
        if not len(emissions):
            return []
        between, first, last = self.scores()
        score, pointers = first + emissions[0], []
        for emission in emissions[1:]:
            best, pointer = (score[:, None] + between).max(dim=0)
            score = best + emission
            pointers.append(pointer)
        path = [int((score + last).argmax())]
        for pointer in reversed(pointers):
            path.append(int(pointer[path[-1]]))
        return path[::-1]

    @torch.no_grad()
    def span_probabilities(self, emissions: Tensor, spans: Sequence[tuple[int, Sequence[int]]]) -> list[float]:
        """How likely it is that the labels of a sentence, of emissions (T, L), are just these from a place on: for each place
        and labels, over all paths of the rest."""
        between, first, last = self.scores()
        forward, backward = [first + emissions[0]], [last]
        for emission in emissions[1:]:
            forward.append(torch.logsumexp(forward[-1][:, None] + between, dim=0) + emission)
        for emission in emissions.flip(0)[:-1]:
            backward.append(torch.logsumexp(between + emission + backward[-1], dim=1))
        backward.reverse()
        whole = torch.logsumexp(forward[-1] + last, dim=0)
        found = []
        for begin, labels in spans:
            score = forward[begin][labels[0]]
            for step, (label, following) in enumerate(itertools.pairwise(labels), start=begin + 1):
                score = score + between[label, following] + emissions[step, following]
            found.append(float((score + backward[begin + len(labels) - 1][labels[-1]] - whole).exp().clamp(max=1.0)))
        return found


def _carried(labels: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """For each place the label of the last place before it that is asked for, (B, T), and whether there is one."""
    places = torch.arange(labels.size(1), device=labels.device).expand_as(labels)
    latest = places.masked_fill(~asked, -1).cummax(dim=1).values
    before = torch.cat([latest.new_full((len(latest), 1), -1), latest[:, :-1]], dim=1)
    return labels.gather(1, before.clamp(min=0)), before >= 0


def _final(labels: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """The label of the last place of each row that is asked for, (B,), and whether there is one."""
    places = torch.arange(labels.size(1), device=labels.device).expand_as(labels)
    latest = places.masked_fill(~asked, -1).max(dim=1).values
    return labels.gather(1, latest.clamp(min=0)[:, None])[:, 0], latest >= 0
