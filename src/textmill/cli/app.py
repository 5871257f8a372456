"""The command line's root, which each file of verbs adds its own to; how its help is grouped, and the examples in it."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__

GROUPS = {
    "A model's life": ("run", "corpus", "tokenizer", "tokens", "train", "report"),
    "Teach a model a task": ("tune", "predict"),
    "Use a model": ("generate", "chat", "serve", "batch", "fill", "embed"),
    "Judge a model": ("evaluate", "judge", "verify", "compare", "inspect"),
    "Models from elsewhere, and to elsewhere": ("import", "export"),
    "Word vectors": ("vectors", "neighbours"),
    "Before you begin": ("doctor", "bench", "recipe", "sample"),
}
EXAMPLES = {
    "run": [
        "run recipes/wikipedia-sample.toml",
        "run my.toml --set train.time=2h --out runs/longer",
        "run my.toml --until train",
    ],
    "corpus": ["corpus my.toml --set corpus.source=my-notes/"],
    "tokenizer": ["tokenizer my.toml --set tokenizer.kind=unigram --out runs/unigram"],
    "tokens": ["tokens my.toml"],
    "train": ["train my.toml", "train my.toml --set train.steps=500 --restart"],
    "report": ["report runs/wikipedia-sample"],
    "generate": [
        'generate runs/wikipedia-sample "The history of"',
        "generate runs/wikipedia-sample --temperature 0 --max-tokens 50 - < prompt.txt",
    ],
    "chat": [
        "chat sample:smollm2",
        "chat runs/wikipedia-sample",
        "chat runs/wikipedia-sample --max-tokens 40 < lines.txt",
        'chat models/smollm2 --system "Answer in one sentence."',
    ],
    "serve": [
        "serve sample:smollm2",
        "serve runs/wikipedia-sample models/minilm --port 8080",
        "serve models/smollm2 --host 0.0.0.0 --api-keys keys.txt",
    ],
    "batch": ["batch sample:smollm2 requests.jsonl answers.jsonl"],
    "tune": [
        "tune classify reviews.csv --test test.csv --base sample:minilm --out runs/reviews",
        "tune classify questions.txt --set model.architecture=lstm --set learn.epochs=20",
        "tune classify questions.txt --folds 10 --set learn.augment=2",
        "tune classify questions.txt --search learn.learning_rate=0.003..0.1 --search learn.dropout=0,0.2 --trials 9",
    ],
    "predict": ['predict runs/reviews "What a film!"', "predict runs/reviews --json - < texts.txt"],
    "fill": ['fill runs/encoder "Paris is the <|mask|> of France."'],
    "embed": [
        'embed models/minilm "A cat sleeps." "The kitten naps." "Stocks fell." --similarity',
        "embed models/minilm --out vectors.npy - < sentences.txt",
    ],
    "evaluate": [
        "evaluate runs/wikipedia-sample my-notes/ book.txt",
        "evaluate runs/small dump.xml.bz2 --against runs/large --documents 5",
        "evaluate runs/small test.jsonl --train-text train.jsonl --json",
        "evaluate runs/small book.txt --by-position --beyond 2 --picture positions.svg",
    ],
    "judge": [
        "judge sample:smollm2 capitals.jsonl --chat --out capitals.json",
        "judge runs/small runs/large grammar.jsonl questions.jsonl",
    ],
    "verify": ["verify capitals.json"],
    "compare": [
        "compare recipes/wikipedia-sample.toml my.toml --seeds 3 --time 2m",
        "compare small.toml large.toml --flops 1e13 --out runs/sizes",
    ],
    "inspect": [
        "inspect runs/wikipedia-sample",
        "inspect recipes/wikipedia-sample.toml --set model.preset=30m",
        "inspect runs/wikipedia-sample --mermaid",
    ],
    "import": [
        "import sample:smollm2 models/smollm2",
        "import Downloads/Qwen3-0.6B models/qwen3",
        "import llama.Q4_K_M.gguf models/llama",
        "import hf:HuggingFaceTB/SmolLM2-135M-Instruct models/smollm2",
    ],
    "export": [
        "export runs/wikipedia-sample --out wikipedia-model --dtype bfloat16",
        "export runs/wikipedia-sample --to gguf --out wikipedia.gguf --dtype Q8_0",
        "export runs/wikipedia-sample --to onnx --out my-model-onnx",
    ],
    "vectors": [
        "vectors sample:wikipedia --out vectors.txt",
        "vectors my-notes/ --dimension 256 --window 8 --minimum-count 10 --out vectors.txt",
    ],
    "neighbours": ["neighbours vectors.txt water music"],
    "doctor": ["doctor"],
    "bench": ["bench", "bench --only decoding", "bench --json > my-machine.json"],
    "recipe": ["recipe train", "recipe train.time", "recipe --schema > recipe.schema.json"],
    "sample": ["sample", "sample wikipedia"],
}


class _Verbs(TyperGroup):
    """The verbs, in groups, with their examples."""

    def __init__(self, **attributes: Any):
        super().__init__(**attributes)
        for verb, examples in EXAMPLES.items():
            lines = [f"  textmill {example}" for example in examples]
            self.commands[verb].epilog = "\n".join(["\b", "Examples:", *lines])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of verbs in the help text, by what they are for."""
        for title, verbs in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, self.commands[verb].get_short_help_str(limit=150)) for verb in verbs])


app = typer.Typer(
    name="textmill",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"textmill {__version__}")
        raise typer.Exit


@app.callback(epilog="`textmill VERB --help` shows a verb's options and examples; `textmill recipe` explains every key.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Text and a budget in; a language model you can trust, explain and serve out."""
