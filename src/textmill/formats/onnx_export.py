"""A model as ONNX: tokens in, hidden states and logits out, for any batch and length, without a memory of what was read.

An encoder–decoder is two graphs, so that a source is read once. What was written is run in ONNX Runtime and compared.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..files import atomic_folder, write_json
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..models.recurrent import Recurrent
from ..models.state import memory_mask, real_places
from .model_folder import ModelFolder
from .onnx_recurrent import recurrent_graph

TOLERANCE = 1e-3  # of a number of size 1; sums are taken in another order
ONE_FILE = 1_500_000_000  # bytes of weights that a single file holds; protocol buffers end at 2 GiB
OPSET = 20


@dataclass(frozen=True)
class Graph:
    """A part of a model as ONNX sees it. `inputs`: an example of each input by its name; `free`: which of its sizes are free,
    by their names."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...]


class _Causal(nn.Module):
    """tokens (B, T) -> hidden (B, T, D), logits (B, T, V)."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.model.hidden(tokens)
        return hidden, self.model.head(hidden)


class _Bidirectional(nn.Module):
    """tokens (B, T), lengths (B,) -> hidden (B, T, D) and, with a head, logits (B, T, V)."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        hidden = self.model.hidden(tokens, lengths=lengths)
        return (hidden,) if self.model.head is None else (hidden, self.model.head(hidden))


class _SourceReader(nn.Module):
    """source (B, S), lengths (B,) -> memory (B, S, D)."""

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, lengths: Tensor) -> Tensor:
        return self.model.encoder.run(source, real=real_places(lengths, source.size(1)))


class _TargetWriter(nn.Module):
    """tokens (B, T), memory (B, S, D), lengths (B,) -> hidden (B, T, D), logits (B, T, V)."""

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mask = memory_mask(lengths, memory.size(1))
        hidden = self.model.decoder.run(tokens, memory=memory, memory_mask=mask)
        return hidden, self.model.head(hidden)


def graphs_of(model: LanguageModel) -> list[Graph]:
    """The graphs that a model becomes."""
    tokens = torch.zeros(2, _traced_length(model), dtype=torch.int64)
    lengths = torch.tensor([3, 2])
    rows: tuple[str, ...] = ("batch",)
    if model.family == "encoder":
        outputs = ("hidden",) if model.head is None else ("hidden", "logits")
        free = {"tokens": ("batch", "length"), "lengths": rows}
        return [Graph("model", _Bidirectional(model), {"tokens": tokens, "lengths": lengths}, free, outputs)]
    if isinstance(model, EncoderDecoder):
        source = torch.zeros(2, 4, dtype=torch.int64)
        reader = Graph(
            "encoder",
            _SourceReader(model),
            {"source": source, "lengths": lengths},
            {"source": ("batch", "source_length"), "lengths": rows},
            ("memory",),
        )
        writer = Graph(
            "decoder",
            _TargetWriter(model),
            {"tokens": tokens, "memory": torch.randn(2, 4, model.config.width), "lengths": lengths},
            {"tokens": ("batch", "length"), "memory": ("batch", "source_length"), "lengths": rows},
            ("hidden", "logits"),
        )
        return [reader, writer]
    return [Graph("model", _Causal(model), {"tokens": tokens}, {"tokens": ("batch", "length")}, ("hidden", "logits"))]


def _traced_length(model: LanguageModel) -> int:
    """Longer than any layer's window: in a shorter text the windows hide nothing, and wouldn't be traced."""
    longest = max(getattr(model.config, "windows", ()), default=0)
    return min(max(3, longest + 2), model.config.context_length)


def save_onnx(path: str | Path, folder: ModelFolder, say: Callable[[str], None] = lambda line: None) -> None:
    """Write a loaded model folder as a folder of ONNX graphs, with its tokenizer and a card, `onnx.json`, of their inputs and
    outputs.

    Raises ModelError where a package is missing, and where ONNX Runtime computes something else than the model.
    """
    refuse_missing_packages()
    if folder.task is not None:
        raise ModelError(f"{folder.path} can't be written as ONNX: it is a body under a task's head, which isn't written there")
    model = folder.model.float().cpu().eval()
    graphs = graphs_of(model)
    with atomic_folder(path) as target:
        for graph in graphs:
            say(f"tracing {graph.name}.onnx: some seconds a layer")
            _write(graph, target / f"{graph.name}.onnx", model)
            difference = _compare(graph, target / f"{graph.name}.onnx", model)
            say(f"{graph.name}.onnx: ONNX Runtime's numbers differ from the model's by at most {difference:.1e}")
        folder.tokenizer.save(target, model_max_length=model.config.context_length)
        write_json(target / "onnx.json", _card(folder, graphs))


def _card(folder: ModelFolder, graphs: Sequence[Graph]) -> dict[str, Any]:
    """What someone needs to call the graphs."""
    model, tokenizer, start = folder.model, folder.tokenizer, {}
    if isinstance(model, EncoderDecoder):
        start = {"decoder_start_token_id": model.config.start_id(tokenizer.pad_id, tokenizer.eos_id)}
    return {
        "family": model.family,
        "context_length": model.config.context_length,
        "opset": OPSET,
        **start,
        "graphs": {
            f"{graph.name}.onnx": {
                "inputs": {
                    name: [*graph.free[name], *example.shape[len(graph.free[name]) :]] for name, example in graph.inputs.items()
                },
                "outputs": list(graph.outputs),
            }
            for graph in graphs
        },
    }


def refuse_missing_packages() -> None:
    """Raise ModelError, with the command that installs it, where a package that ONNX needs isn't there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"ONNX needs the package {error.name}, which isn't installed; write: pip install onnx onnxscript onnxruntime"
        ) from None


def _write(graph: Graph, path: Path, model: LanguageModel) -> None:
    if isinstance(model, Recurrent):
        import onnx

        onnx.save(recurrent_graph(model, OPSET), path)
        return
    shapes = {name: dict(enumerate(sizes)) for name, sizes in graph.free.items()}
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            kwargs=graph.inputs,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        weights = sum(parameter.nbytes for parameter in graph.module.parameters())
        program.save(path, external_data=weights > ONE_FILE)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare(graph: Graph, path: Path, model: LanguageModel) -> float:
    """How far ONNX Runtime is from the model, at sizes that weren't traced. Raises ModelError beyond TOLERANCE."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    furthest = 0.0
    context = model.config.context_length
    longest = min(_traced_length(model) + 5, context)
    for sizes in (
        {"batch": 1, "length": 1, "source_length": min(2, context)},
        {"batch": 3, "length": longest, "source_length": min(5, context)},
    ):
        inputs = {name: _example(graph, name, sizes, model.config.vocabulary_size) for name in graph.inputs}
        with torch.no_grad():
            ours = graph.module(**inputs)
        theirs = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        for one, other in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
            scale = max(1.0, float(one.abs().max()))
            furthest = max(furthest, float((one - torch.from_numpy(other)).abs().max()) / scale)
    if not furthest <= TOLERANCE:
        raise ModelError(f"{path.name}: ONNX Runtime's numbers differ from the model's by {furthest:.2g}, so it isn't written")
    return furthest


def _example(graph: Graph, name: str, sizes: dict[str, int], vocabulary_size: int) -> Tensor:
    """An input of these sizes."""
    free, example = graph.free[name], graph.inputs[name]
    shape = [*(sizes[size] for size in free), *example.shape[len(free) :]]
    generator = torch.Generator().manual_seed(0)
    if name == "lengths":
        longest = sizes["source_length" if "memory" in graph.inputs or "source" in graph.inputs else "length"]
        return torch.randint(1, longest + 1, shape, generator=generator)
    if example.is_floating_point():
        return torch.randn(shape, generator=generator)
    return torch.randint(0, vocabulary_size, shape, generator=generator)
