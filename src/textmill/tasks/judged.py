"""How well a task was learnt: scores on the test examples, beside those of what needs no neural network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..evaluation.perturbations import Perturbed
from ..files import write_json
from ..score import Score


@dataclass(frozen=True)
class Judged:
    """A model's scores, the chief one first, and each baseline's by its name; `more`: what else its page shows;
    `perturbations`: the chief score where the texts are written otherwise."""

    scores: Sequence[Score]
    baselines: Mapping[str, Sequence[Score]]
    more: Mapping[str, Any] = field(default_factory=dict)
    perturbations: Mapping[str, Perturbed] = field(default_factory=dict)

    def __str__(self) -> str:
        chief, *others = self.scores
        rows = [("textmill", chief), *((name, scores[0]) for name, scores in self.baselines.items())]
        width = max(len(name) for name, _ in rows)
        table = [f"  {name:<{width}}  {score}" for name, score in rows]
        if self.perturbations:
            width = max(map(len, self.perturbations))
            [name, *_] = (found.score.name for found in self.perturbations.values())
            table.append(f"{name} on the same texts, written otherwise")
            table += [f"  {name:<{width}}  {found}" for name, found in self.perturbations.items()]
        rest = [f"  {'; '.join(f'{score.name} {score}' for score in others)}"] if others else []
        kind = "validation texts, for want of test texts" if self.more.get("judged_by") == "validation" else "test texts"
        return "\n".join([f"{chief.name} on {chief.count:,} {kind}", *table, *rest])

    def write(self, folder: Path) -> None:
        """Into scores.json: every number a Score."""
        told = {
            "scores": [score.to_dict() for score in self.scores],
            "baselines": {name: [score.to_dict() for score in scores] for name, scores in self.baselines.items()},
            "perturbations": {name: found.to_dict() for name, found in self.perturbations.items()},
            **self.more,
        }
        write_json(folder / "scores.json", told)
