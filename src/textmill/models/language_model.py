"""What every family's model offers to training, evaluation and inference, and what they share."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .attention import FLEXIBLE, Attention
from .fused import FusedOperations
from .loss import PLAIN, LossTerms, cross_entropy_sum, logits_cross_entropy, token_cross_entropy


def call(layer: nn.Module, *arguments: Any) -> Any:
    """A layer's own call."""
    return layer(*arguments)


class TrainableModel(nn.Module):
    """What training sets of any model, whatever stands above its layers: how it computes, and what it zeroes."""

    config: Any  # a ModelConfig, of the family's own class

    def set_eager_attention(self, eager: bool) -> None:
        """Take the written-out attention path, which shows its weights (models/hooks.py), or torch's fused one."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.eager = eager

    def set_attention_kernel(self, kernel: str) -> None:
        """Which of torch's kernels takes the fused path: one of KERNELS (models/attention.py), or `fused`, as torch picks; in
        training also FLEXIBLE, where there are masks but ALiBi's."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.kernel = kernel
            if hasattr(module, "flexible"):
                module.flexible = kernel == FLEXIBLE and module.shape.positions != "alibi"  # type: ignore[assignment, union-attr]

    def set_fused(self, fused: FusedOperations | None) -> None:
        """Have parts of the work done by these operations, where they can do it; None: all in the plain way."""
        for module in self.modules():
            if hasattr(module, "fused"):
                module.fused = fused  # type: ignore[assignment]

    def set_dropout(self, probability: float, of_weights: float = 0.0) -> None:
        """Zero a share of the embeddings and of what each layer adds or passes on, in training mode only; in recurrent models
        also a share `of_weights`, from hidden to hidden."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability
            if hasattr(module, "weight_dropout"):
                module.weight_dropout = of_weights  # type: ignore[assignment]

    def set_activation_checkpointing(self, recompute: bool) -> None:
        """Keep only each layer's input for the backward pass, and compute the layer again there (Chen et al. 2016). The same
        bits for less memory and a third more work."""
        for module in self.modules():
            if hasattr(module, "recompute"):
                module.recompute = recompute  # type: ignore[assignment]

    def set_compiled_layers(self, compile: Callable[[Callable[..., Any]], Callable[..., Any]] | None) -> None:
        """Have the layers computed by what `compile`, such as torch.compile, makes of one layer's call, in training mode only;
        None: as they stand. It is one function, so what was compiled for a layer serves all that are like it, and a deep model
        takes no longer to compile than a shallow one."""
        compiled = None if compile is None else compile(call)
        for module in self.modules():
            if hasattr(module, "compiled"):
                module.compiled = compiled  # type: ignore[assignment]


class LanguageModel(TrainableModel):
    """A model of one family. Its embedding table is `embedding`, its layers `blocks` (those of both halves, in two stacks)."""

    family: ClassVar[str]
    kind: ClassVar[str]  # the family in a sentence: "a decoder"
    embedding_spread: ClassVar[float] = 0.25
    """Standard deviation of an untied table's first weights: so small that what the layers add to it counts early
    (docs/experiments.md)."""
    writes: bool = True  # whether it goes on with a text; the body of a model that is made for a task doesn't
    fused: FusedOperations | None = None
    embedding: nn.Embedding
    packed: Any = None  # what its linear layers multiply by, where that isn't torch's own weights (native/matrices.py)
    head: Any  # hidden states -> logits; its `weight` is (V, D), its `bias` (V,) or None. None where an encoder has no head

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone.

        Every layer starts as the identity (its output projections are zero) and the untied head predicts the uniform
        distribution, so that the first steps are calm and need hardly any warm-up (modded-nanogpt, record 5).
        """
        generator = torch.Generator().manual_seed(seed)
        tied = self.config.tied_embeddings
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif parameter.dim() == 1:
                    parameter.fill_(1.0)
                elif name.endswith("position_embedding.weight"):
                    parameter.normal_(0.0, self.config.width**-0.5, generator=generator)
                elif name.endswith("embedding.weight"):
                    # A tied matrix is also the head, where a larger variance would make the first predictions wild.
                    parameter.normal_(0.0, self.config.width**-0.5 if tied else self.embedding_spread, generator=generator)
                elif name.endswith(("output.weight", "down.weight", "head.weight")):
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, parameter.size(1) ** -0.5, generator=generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device("cpu") if self.packed is not None else self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The numbers in which it computes."""
        return torch.float32 if self.packed is not None else self.embedding.weight.dtype

    @property
    def context_limit(self) -> int | None:
        """How many tokens it can read in a row; None where there is no limit."""
        return self.config.context_length

    def new_state(self, rows: int) -> Any:
        """An empty memory for `rows` sequences, a GenerationState, to be given to `forward` with each further piece of them."""
        raise NotImplementedError

    def new_slots(self, rows: int, length: int) -> Any:
        """Room for `rows` sequences of up to `length` tokens that come and go, a `Slots` (models/slots.py)."""
        raise NotImplementedError

    def carried(self, carry: Tensor | None, continues: Tensor) -> Any:
        """The state in which the rows of a batch begin, of what they brought along from the batch before, `carry` (B, …), and
        of whether each `continues` (B,) what it read there; None where a family carries nothing."""
        return None

    def hidden(self, inputs: Tensor, *args: Any, **more: Any) -> Tensor:
        """The last hidden state, (B, T, D), of token ids (B, T)."""
        raise NotImplementedError

    def scored(self, hidden: Tensor, targets: Tensor | None, terms: LossTerms | None) -> Any:
        """What `forward` makes of what the head's product is given, (…, D): without targets (…) the head's logits, (…, V), else
        the sum of their nats as a scalar, or with `terms` the pair that `cross_entropy_sum` gives."""
        if targets is None:
            return self.head(hidden)
        rows = hidden.flatten(0, -2), self.head.weight, targets.flatten()
        loss, nats = cross_entropy_sum(*rows, terms or PLAIN, self.head.bias, self.fused)
        return loss if terms is None else (loss, nats)

    def nats_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target, (B, T) in nats, without a gradient, 0 where it is -100; of hidden states (B, T, D)."""
        rows, flat = hidden.flatten(0, 1), targets.flatten()
        if self.packed is not None:
            return logits_cross_entropy(self.head, rows, flat, self.config.vocabulary_size).view_as(targets)
        return token_cross_entropy(rows, self.head.weight, flat, self.head.bias).view_as(targets)
