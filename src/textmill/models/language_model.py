"""What every family's model offers to training, evaluation and inference, and what they share."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .attention import Attention


class LanguageModel(nn.Module):
    """A model of one family. Its embedding table is `embedding`, its layers `blocks` (those of both halves, in two stacks)."""

    family: ClassVar[str]
    config: Any  # a ModelConfig, of the family's own class
    embedding: nn.Embedding
    head: Any  # hidden states -> logits; its `weight` is (V, D). None where an encoder gives hidden states alone

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
                    # A tied matrix is also the head, where unit variance would make the first predictions wild.
                    parameter.normal_(0.0, self.config.width**-0.5 if tied else 1.0, generator=generator)
                elif name.endswith(("output.weight", "down.weight", "head.weight")):
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, parameter.size(1) ** -0.5, generator=generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def set_eager_attention(self, eager: bool) -> None:
        """Take the written-out attention path, which shows its weights (models/hooks.py), or torch's fused one."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.eager = eager

    def set_dropout(self, probability: float) -> None:
        """Zero a share of the embeddings and of what each sub-layer adds, in training mode only."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability

    def set_activation_checkpointing(self, recompute: bool) -> None:
        """Keep only each layer's input for the backward pass, and compute the layer again there (Chen et al. 2016). The same
        bits for less memory and a third more work."""
        for module in self.modules():
            if hasattr(module, "recompute"):
                module.recompute = recompute  # type: ignore[assignment]

    def new_state(self, rows: int) -> Any:
        """An empty memory for `rows` sequences, a GenerationState, to be given to `forward` with each further piece of them."""
        raise NotImplementedError

    def hidden(self, inputs: Tensor, *args: Any, **more: Any) -> Tensor:
        """The last hidden state, (B, T, D), of token ids (B, T)."""
        raise NotImplementedError
