# %% [markdown]
# # The original Transformer, shape by shape
#
# A model width of 512, 8 heads, 6 + 6 layers: what passes through it, on a real batch of sentences and their
# translations. Every shape and every mask is looked at through the model's own hook points, and held by an `assert`.

# %%
import argparse
import json
import math
import sys

import torch

from textmill.corpus.samples import fetch_sample
from textmill.models.architectures import build
from textmill.models.count import count
from textmill.models.hooks import hook_points, recorded
from textmill.models.settings import ModelSettings
from textmill.tokens.pairs import pair_batch
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import PAD
from textmill.tokens.training import train_tokenizer

parser = argparse.ArgumentParser(
    description="The shapes and masks of an encoder–decoder with 512 dimensions, 8 heads, 6 + 6 layers."
)
parser.add_argument("--steps", type=int, default=10, help="training steps at the end (default: 10)")
steps = parser.parse_args([] if "ipykernel" in sys.modules else None).steps

# %% [markdown]
# ## A real batch
# Four texts of an open-source program's pages and their Chinese translations, of different lengths: the shorter ones
# are padded.

# %%
lines = fetch_sample("home-assistant").read_text(encoding="utf-8").splitlines()
records = [json.loads(line) for line in lines]
texts = [record[language] for record in records[:4000] for language in ("en", "zh")]
tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=4096), texts, special=[PAD])
chosen = [record for record in records if 3 <= len(record["en"].split()) <= 12][:4]
for record in chosen:
    print(f"{record['en']} → {record['zh']}")
pairs = [(tokenizer.encode(each["en"]), [*tokenizer.encode(each["zh"]), tokenizer.eos_id]) for each in chosen]
batch = pair_batch(pairs, tokenizer.pad_id, start_id=tokenizer.pad_id)
B, S = batch.source.shape
T = batch.inputs.size(1)
lengths = batch.lengths
print(f"source (B, S) = ({B}, {S}) with lengths {lengths.tolist()}; inputs and targets (B, T) = ({B}, {T})")
# What the decoder reads is what it has to say, moved by one: it begins with a start token and never sees the last.
for row, (_, target) in enumerate(pairs):
    assert batch.inputs[row, 0] == tokenizer.pad_id
    assert batch.inputs[row, 1 : len(target)].tolist() == batch.targets[row, : len(target) - 1].tolist() == target[:-1]

# %% [markdown]
# ## The model

# %%
D, H, layers, inner = 512, 8, 6, 2048
shape = {"width": D, "heads": H, "head_dim": D // H, "layers": layers, "feed_forward_width": inner, "context_length": 128}
model = build(ModelSettings(architecture="marian", **shape).config(tokenizer.vocabulary_size))
model.initialise(seed=0)
torch.manual_seed(0)
with torch.no_grad():
    for parameter in model.parameters():  # a fresh model's output projections are zero, which would hide what is shown here
        if parameter.dim() > 1:
            parameter.normal_(0, 0.02)
model.eval()

attention = 4 * (D * D + D)  # query, key, value, output, each with a bias
feed_forward = D * inner + inner + inner * D + D
norm = 2 * D
encoder_layer = attention + feed_forward + 2 * norm
decoder_layer = 2 * attention + feed_forward + 3 * norm  # attention to itself, and to the source
V = tokenizer.vocabulary_size
expected = layers * (encoder_layer + decoder_layer) + V * D + V  # one table for both halves and the head, and the head's bias
print(f"{count(model.config).parameters:,} parameters, by the formula {expected:,}")
assert count(model.config).parameters == expected

# %% [markdown]
# ## What passes through it
# `recorded` keeps what passes at each hook point. Attention's weights are there for every layer and head.

# %%
with torch.no_grad(), recorded(model, hook_points(model)) as found:
    logits = model(batch.inputs, source=batch.source, lengths=lengths)
for name in ("encoder.embeddings", "encoder.blocks.0.attention_pattern", "encoder.blocks.0.attention_output",
             "encoder.blocks.0.feed_forward_output", "encoder.blocks.5.residual", "decoder.blocks.0.attention_pattern",
             "decoder.blocks.0.cross_attention_pattern", "decoder.blocks.5.residual", "decoder.hidden"):  # fmt: skip
    print(f"{name:42} {tuple(found[name].shape)}")
print(f"{'logits':42} {tuple(logits.shape)}")
assert found["encoder.embeddings"].shape == (B, S, D)
assert logits.shape == (B, T, V)

# %% [markdown]
# ## The contract of the masks
# 1. Each row of weights sums to one.
# 2. No token of a source looks at padding.
# 3. A token of the target looks at itself and what stands before it, and at nothing behind it.
# 4. What stands in the padding changes nothing.

# %%
real = torch.arange(S) < lengths[:, None]  # (B, S)
for layer in range(layers):
    own = found[f"encoder.blocks.{layer}.attention_pattern"]  # (B, H, S, S)
    causal = found[f"decoder.blocks.{layer}.attention_pattern"]  # (B, H, T, T)
    cross = found[f"decoder.blocks.{layer}.cross_attention_pattern"]  # (B, H, T, S)
    assert own.shape == (B, H, S, S) and causal.shape == (B, H, T, T) and cross.shape == (B, H, T, S)
    for pattern in (own, causal, cross):
        assert torch.allclose(pattern.sum(-1), torch.ones(()))
    for row in range(B):
        assert not own[row, :, : lengths[row], lengths[row] :].any()
        assert not cross[row, :, :, lengths[row] :].any()
    assert not causal.triu(diagonal=1).any()

with torch.no_grad():
    other = batch.source.masked_fill(~real, 17)  # another token in the padding
    assert torch.allclose(model(batch.inputs, source=other, lengths=lengths), logits, atol=1e-5)
print("every mask is kept")

# %% [markdown]
# ## Token by token
# In use the source is read once. Its keys and values for all six layers of the decoder are kept, and those of the
# target's tokens are added one by one: the numbers are the same as for the whole.

# %%
with torch.no_grad():
    state = model.encode(batch.source, lengths)
    pieces = [model(batch.inputs[:, t : t + 1], state=state) for t in range(T)]
    assert torch.allclose(torch.cat(pieces, dim=1), logits, atol=1e-4)
print(f"{T} tokens, one at a time: the same logits")

# %% [markdown]
# ## Some steps
# Before the first one a model knows nothing: its loss is near the logarithm of the vocabulary's size.

# %%
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, betas=(0.9, 0.98))
model.train()
for step in range(steps):
    loss = model(batch.inputs, batch.targets, source=batch.source, lengths=lengths) / batch.tokens
    if step == 0:
        print(f"at the start {loss.item():.2f} nats a token; ln({V:,}) = {math.log(V):.2f}")
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(f"after {steps} steps on this batch alone: {loss.item():.2f}")
