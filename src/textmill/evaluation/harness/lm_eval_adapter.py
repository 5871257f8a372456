"""EleutherAI's lm-eval on any textmill model: `python -m textmill.evaluation.harness.lm_eval_adapter run --model textmill
--model_args pretrained=FOLDER --tasks …` is lm-eval's own command line, which this import has told of the model.

lm-eval looks for models among those it knows and those that were imported, and for no entry points; hence the module's name in
front. The texts' ends aren't counted, as lm-eval's own models don't.
"""

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from ... import load
from ...errors import TaskError
from .contract import Continuation, Prompt
from .language_model import ROWS, JudgedLanguageModel

MOST_TOKENS = 256  # of an answer, where a task doesn't say: lm-eval's own
GREEDY = {"do_sample": (False,), "temperature": (0, 0.0, None), "num_beams": (1,), "top_p": (1, 1.0, None)}
UNDERSTOOD = {"until", "max_gen_toks", "max_tokens", "max_new_tokens", *GREEDY}


@register_model("textmill")
class TextmillLM(LM):
    """A model folder, run folder or sample. `weights`: numbers that its weights are kept in."""

    def __init__(self, pretrained: str, weights: str | None = None, batch_size: int | str = ROWS, **others: Any):
        super().__init__()
        rows = int(batch_size) if str(batch_size).isdigit() else ROWS
        self.judged = JudgedLanguageModel(load(pretrained, weights), rows, count_end=False)  # type: ignore[arg-type]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Of each (context, continuation)."""
        found = self.judged.loglikelihood([Continuation(*each.args) for each in requests])
        return [(each.log_probability, each.greedy) for each in found]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Of each text, in windows that overlap by half where it is longer than the context."""
        return self.judged.loglikelihood_rolling([each.args[0] for each in requests])

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Greedily. Raises TaskError for a task that wants answers drawn, which would be others each time."""
        return self.judged.generate_until([_prompt(*each.args) for each in requests])

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer, for lm-eval's cache."""
        return self.judged.tokenizer.hash


def _prompt(context: str, settings: dict[str, Any]) -> Prompt:
    problems = [
        f"{name} = {settings[name]!r}" for name, fine in GREEDY.items() if name in settings and settings[name] not in fine
    ]
    problems += [f"{name} = {value!r}" for name, value in settings.items() if name not in UNDERSTOOD]
    if problems:
        raise TaskError(f"textmill writes greedily under lm-eval, and doesn't follow {', '.join(problems)}")
    until: str | Sequence[str] = settings.get("until") or ()
    most = next((settings[name] for name in ("max_gen_toks", "max_tokens", "max_new_tokens") if name in settings), MOST_TOKENS)
    return Prompt(context, (until,) if isinstance(until, str) else tuple(until), int(most))


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
