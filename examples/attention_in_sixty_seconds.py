# %% [markdown]
# # Attention in sixty seconds
#
# A Transformer of 2 + 2 layers learns exactly three sentences by heart. Then we open it, and do one head's attention by
# hand: the scores, the weights and the output, each against its formula
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$

# %%
import argparse
import math
import sys

import matplotlib.pyplot as plt
import torch

from textmill.models.architectures import build
from textmill.models.hooks import recorded
from textmill.models.settings import ModelSettings
from textmill.tokens.pairs import pair_batch
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import PAD
from textmill.tokens.training import train_tokenizer

parser = argparse.ArgumentParser(description="A 2 + 2 layer Transformer learns three sentences, and shows how attention works.")
parser.add_argument("--steps", type=int, default=120, help="training steps (default: 120, some seconds)")
parser.add_argument("--picture", help="also write the weights as a picture into this file")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## 1. Three sentences become numbers
# One token a word. A space belongs to the word behind it, so the tokens of a sentence put together are the sentence.

# %%
sentences = [
    "I love reading books.",
    "Reading is my favorite hobby.",
    "Books can broaden our horizons.",
]
tokenizer = train_tokenizer(TokenizerSettings(kind="word", vocabulary_size=18), sentences, special=[PAD])
for sentence in sentences:
    ids = tokenizer.encode(sentence)
    assert tokenizer.decode(ids) == sentence
    print(ids, [tokenizer.decode([id]) for id in ids])

# %% [markdown]
# ## 2. A Transformer of 2 + 2 layers
# The encoder reads a sentence; the decoder writes it again, word by word, while it looks the sentence up. The decoder
# reads what it has written so far, so its inputs are the targets moved by one, behind a start token.

# %%
d, heads = 16, 2
shape = {"width": heads * d, "heads": heads, "head_dim": d, "layers": 2, "feed_forward_width": 64, "context_length": 16}
model = build(ModelSettings(architecture="marian", **shape).config(tokenizer.vocabulary_size))
model.initialise(seed=0)
targets = [[*tokenizer.encode(sentence), tokenizer.eos_id] for sentence in sentences]
batch = pair_batch([(target[:-1], target) for target in targets], tokenizer.pad_id, start_id=tokenizer.pad_id)
print("source ", batch.source.tolist(), "lengths", batch.lengths.tolist())
print("inputs ", batch.inputs.tolist())
print("targets", batch.targets.tolist(), "(-100 doesn't count)")

# %% [markdown]
# ## 3. Learning by heart

# %%
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for step in range(arguments.steps):
    loss = model(batch.inputs, batch.targets, source=batch.source, lengths=batch.lengths) / batch.tokens
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 20 == 0 or step == arguments.steps - 1:
        print(f"step {step:3}  loss {loss.item():.4f}")
_ = model.eval()


# %% [markdown]
# ## 4. Writing: one token at a time, the likeliest


# %%
@torch.no_grad()
def write(source: torch.Tensor, length: torch.Tensor) -> str:
    """What the decoder makes of one sentence."""
    state, token, written = model.encode(source, length), tokenizer.pad_id, []
    for _ in range(10):
        token = int(model(torch.tensor([[token]]), state=state)[0, -1].argmax())
        if token == tokenizer.eos_id:
            break
        written.append(token)
    return tokenizer.decode(written)


written = [write(batch.source[row : row + 1], batch.lengths[row : row + 1]) for row in range(3)]
for sentence, again in zip(sentences, written):
    print(f"{sentence!r} → {again!r}")
print("all three by heart" if written == sentences else "not yet by heart: take more steps")

# %% [markdown]
# ## 5. Inside: one head of the encoder's first layer, by hand
# Every token makes a query (what it looks for), a key (what it can be found by) and a value (what it gives). The hook
# points say what the model itself computed; we compute the same from its weights.

# %%
row = 0
words = [tokenizer.decode([id]) for id in batch.source[row, : batch.lengths[row]].tolist()]
S = len(words)
attention = model.encoder.blocks[0].attention
names = ["encoder.embeddings", "encoder.blocks.0.attention_pattern", "encoder.blocks.0.attention_output"]
with torch.no_grad(), recorded(model, names) as found:
    model(batch.inputs[row : row + 1], source=batch.source[row : row + 1], lengths=batch.lengths[row : row + 1])
    x = found["encoder.embeddings"][0, :S]  # (S, D): embeddings with their positions
    q, k, v = (layer(x).view(S, heads, d).transpose(0, 1) for layer in (attention.query, attention.key, attention.value))
    print(f"Q, K, V: one of {tuple(q.shape[1:])} for each of {heads} heads")

    scores = q @ k.transpose(-2, -1)  # how well each query fits each key, (H, S, S)
    scaled = scores / math.sqrt(d)  # so that the sum of d products doesn't grow with d
    exponentials = scaled.exp()
    weights = exponentials / exponentials.sum(-1, keepdim=True)  # softmax: positive, and each row sums to one
    output = attention.output((weights @ v).transpose(0, 1).reshape(S, heads * d))  # values mixed, heads joined

    assert torch.allclose(weights, found["encoder.blocks.0.attention_pattern"][0, :, :S, :S], atol=1e-5)
    assert torch.allclose(output, found["encoder.blocks.0.attention_output"][0, :S], atol=1e-4)

torch.set_printoptions(precision=2, sci_mode=False)
print("head 0, scores Q·Kᵀ:\n", scores[0])
print("head 0, scaled by √d:\n", scaled[0])
print("head 0, weights (each row sums to one):\n", weights[0])
print("output, first four dimensions of each word:\n", output[:, :4])
print("the model computed the same")

# %% [markdown]
# ## 6. The decoder may not look ahead
# The same formula, with one thing added: a score of −∞ for each token that isn't written yet. e^−∞ = 0, so it gets no
# weight.

# %%
own = model.decoder.blocks[0].attention
pattern = "decoder.blocks.0.attention_pattern"
with torch.no_grad(), recorded(model, ["decoder.embeddings", pattern, "decoder.blocks.1.cross_attention_pattern"]) as found:
    model(batch.inputs[row : row + 1], source=batch.source[row : row + 1], lengths=batch.lengths[row : row + 1])
    y = found["decoder.embeddings"][0]  # (T, D)
    T = len(y)
    q, k = (layer(y).view(T, heads, d).transpose(0, 1) for layer in (own.query, own.key))
    scaled = q @ k.transpose(-2, -1) / math.sqrt(d)
    ahead = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)
    causal = scaled.masked_fill(ahead, -math.inf).softmax(-1)
    assert torch.allclose(causal, found[pattern][0], atol=1e-5)
    cross = found["decoder.blocks.1.cross_attention_pattern"][0].mean(0)  # (T, S), mean over the heads
print("head 0, weights of the decoder's own attention: nothing right of the diagonal\n", causal[0])

# %% [markdown]
# ## 7. A picture
# Left: who looks at whom in the encoder. Middle: the decoder sees only what stands before. Right: where the decoder
# looks in the source while it writes each word.

# %%
ends = len(targets[row])
written_so_far = ["(start)", *(tokenizer.decode([id]) for id in targets[row][: ends - 1])]
next_words = [*(tokenizer.decode([id]) for id in targets[row][: ends - 1]), "(end)"]
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for axis, matrix, rows_, columns, title in (
    (axes[0], weights[0], words, words, "encoder, layer 1, head 1"),
    (axes[1], causal[0][:ends, :ends], written_so_far, written_so_far, "decoder, layer 1, head 1"),
    (axes[2], cross[:ends, :S], next_words, words, "decoder looks up the source, layer 2"),
):
    axis.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axis.set_yticks(range(len(rows_)), rows_)
    axis.set_title(title)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            if matrix[i, j] >= 0.005:
                colour = "white" if matrix[i, j] > 0.6 else "black"
                axis.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=7, color=colour)
if arguments.picture:
    figure.savefig(arguments.picture, dpi=110)
