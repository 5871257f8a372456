# %% [markdown]
# # An LSTM language model
#
# Embedding → LSTM → output, on real text: targets are the inputs moved by one, the state is carried from one block to
# the next, and the result is told as perplexity and as bits per byte.

# %%
import argparse
import math
import sys
import time

import torch

from textmill.evaluation.texts import read_texts, text_settings
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.training import train_tokenizer

parser = argparse.ArgumentParser(description="An LSTM learns to predict the next token of Wikipedia articles.")
parser.add_argument("--steps", type=int, default=800, help="training steps of 16 x 64 tokens (default: 800)")
steps = parser.parse_args([] if "ipykernel" in sys.modules else None).steps

# %% [markdown]
# ## Text and tokens

# %%
articles = read_texts(text_settings(["sample:wikipedia"], {}, {}), maximum_bytes=3_000_000).selection.documents
held_out, training = articles[:6], articles[6:]
tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=4096), (each.text for each in training))


def stream_of(documents) -> torch.Tensor:
    """All articles in a row, each behind the token that begins a text."""
    return torch.tensor([id for each in documents for id in (tokenizer.bos_id, *tokenizer.encode(each.text))])


stream = stream_of(training)
print(f"{len(training)} articles, {len(stream):,} tokens; one begins {tokenizer.decode(stream[1:20].tolist())!r}")

# %% [markdown]
# ## The model: embedding → LSTM → output


# %%
class LstmLanguageModel(torch.nn.Module):
    """Token ids (B, T) and the state before them -> logits (B, T, V) and the state behind them."""

    def __init__(self, vocabulary_size: int, width: int, layers: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary_size, width)
        self.lstm = torch.nn.LSTM(width, width, layers, batch_first=True, dropout=0.1)
        self.output = torch.nn.Linear(width, vocabulary_size)
        self.output.weight = self.embedding.weight  # tied: one table for reading and for writing
        torch.nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, inputs, state=None):
        hidden, state = self.lstm(self.embedding(inputs), state)  # (B, T, D): an output for every token, not only the last
        return self.output(hidden), state


model = LstmLanguageModel(tokenizer.vocabulary_size, width=256, layers=2)
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

# %% [markdown]
# ## Rows that go on
# The text is cut into 16 long rows. Each step reads the next 64 tokens of every row, and begins with the state in which
# the step before ended: so the model looks back over thousands of tokens, though gradients flow back over 64 (truncated
# back-propagation).

# %%
rows, length = 16, 64
per_row = (len(stream) - 1) // rows
inputs = stream[: rows * per_row].view(rows, per_row)
targets = stream[1 : rows * per_row + 1].view(rows, per_row)  # moved by one: what follows each input
assert torch.equal(inputs[:, 1:], targets[:, :-1])

# %%
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - step / steps))
state, place = None, 0
began = time.perf_counter()
model.train()
for step in range(steps):
    if place + length > per_row:
        state, place = None, 0  # the rows are read to their ends
    logits, state = model(inputs[:, place : place + length], state)
    state = tuple(part.detach() for part in state)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, place : place + length].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    place += length
    if step % 25 == 0 or step == steps - 1:
        seconds = time.perf_counter() - began
        print(f"step {step:4}  loss {loss.item():.3f}  perplexity {loss.exp().item():7.1f}  {seconds:.0f} s", flush=True)

# %% [markdown]
# ## Judged on held-out articles
# Perplexity depends on how a tokenizer cuts the text. Bits per byte don't: they can be compared with any other model's.

# %%
model.eval()
with torch.no_grad():
    text = stream_of(held_out)
    nats, state = 0.0, None
    for begin in range(0, len(text) - 1, 512):
        piece, following = text[begin : begin + 512], text[begin + 1 : begin + 513]
        logits, state = model(piece[: len(following)][None], state)
        nats += torch.nn.functional.cross_entropy(logits[0], following, reduction="sum").item()
size = sum(len(each.text.encode()) for each in held_out)
print(f"perplexity {math.exp(nats / (len(text) - 1)):.1f} a token; {nats / math.log(2) / size:.3f} bits per byte")

# %% [markdown]
# ## It writes

# %%
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    ids = [tokenizer.bos_id, *tokenizer.encode("The history of")]
    logits, state = model(torch.tensor([ids]))
    for _ in range(60):
        probabilities = (logits[0, -1] / 0.8).softmax(-1)
        ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
        logits, state = model(torch.tensor([ids[-1:]]), state)
print(tokenizer.decode(ids))
print('In a recipe: model.architecture = "lstm" (textmill run), with dropout that is the same for a whole row, and resuming')
