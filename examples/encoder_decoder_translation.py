# %% [markdown]
# # A first translator
#
# An encoder reads an English text, a decoder writes it in Chinese (or `--target de`: German). The pairs are the texts
# of an open-source program's pages: short, real, and full of patterns. All masks come from lengths; the likeliest
# translation is looked for with a beam.

# %%
import argparse
import json
import random
import sys
import time

import torch

from textmill.corpus.samples import fetch_sample
from textmill.inference.beam import BeamSearch, beam_search
from textmill.models.architectures import build
from textmill.models.count import count
from textmill.models.settings import ModelSettings
from textmill.tokens.pairs import PairBatch, TextPair, pair_batch
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import PAD
from textmill.tokens.training import train_tokenizer
from textmill.training.optimizers import Optimizer
from textmill.training.settings import TrainSettings

parser = argparse.ArgumentParser(description="An encoder–decoder learns to translate short English texts.")
parser.add_argument("--steps", type=int, default=260, help="training steps of 64 pairs (default: 260)")
parser.add_argument("--target", choices=["zh", "de"], default="zh", help="language to translate into (default: zh)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Pairs, and one vocabulary for both languages
# A thousand pairs are held out. English texts occur once each in the sample, so none of these was learnt from.

# %%
lines = fetch_sample("home-assistant").read_text(encoding="utf-8").splitlines()
pairs = [TextPair(record["en"], record[arguments.target]) for record in map(json.loads, lines)]
random.Random(0).shuffle(pairs)
tokenizer = train_tokenizer(
    TokenizerSettings(vocabulary_size=4096), (text for pair in pairs[1000:] for text in pair), special=[PAD]
)


def encoded(pair: TextPair) -> tuple[list[int], list[int]]:
    """The tokens of both texts; the translation ends with the token that ends a text."""
    return tokenizer.encode(pair.source), [*tokenizer.encode(pair.target), tokenizer.eos_id]


longest = 32
examples = [example for example in map(encoded, pairs[1000:]) if max(map(len, example)) <= longest]
held_out = [pair for pair in pairs[:1000] if max(map(len, encoded(pair))) <= longest]
print(f"{len(examples):,} pairs of at most {longest} tokens to learn from, {len(held_out)} held out, such as")
for pair in held_out[:3]:
    print(f"  {pair.source} → {pair.target}")

# %% [markdown]
# ## The model
# The original Transformer's layout: sinusoidal positions, norms after each sum, one table for both languages and the
# head.

# %%
settings = ModelSettings(architecture="marian", layers=3, width=256, heads=4, context_length=64)
model = build(settings.config(tokenizer.vocabulary_size))
model.initialise(seed=0)
model.set_dropout(0.1)
print(f"{count(model.config).parameters:,} parameters")

# %% [markdown]
# ## Batches and masks
# Pairs of about the same length go together, so that little is padding. `lengths` says how many tokens of each source
# are real; the encoder, and the decoder when it looks the source up, see only those. The decoder's inputs begin with
# the start token, and each of its tokens sees only what stands before it. Targets behind a text's end don't count.

# %%
start = tokenizer.pad_id
generator = random.Random(1)


def batches(size: int = 64, pool: int = 20):
    """Batches without end: from a random pool, sorted by length, in random order."""
    while True:
        drawn = sorted(generator.sample(examples, size * pool), key=lambda example: (len(example[0]), len(example[1])))
        groups = [drawn[begin : begin + size] for begin in range(0, len(drawn), size)]
        generator.shuffle(groups)
        yield from (pair_batch(group, tokenizer.pad_id, start) for group in groups)


def loss_of(batch: PairBatch) -> torch.Tensor:
    """Mean nats of a target's token."""
    return model(batch.inputs, batch.targets, source=batch.source, lengths=batch.lengths) / batch.tokens


first = pair_batch([encoded(pair) for pair in held_out[:2]], tokenizer.pad_id, start)
print("source ", first.source.tolist(), "lengths", None if first.lengths is None else first.lengths.tolist())
print("inputs ", first.inputs.tolist())
print("targets", first.targets.tolist())

# %% [markdown]
# ## Training
# textmill's own optimizer: Muon for the matrices of the layers, AdamW for embeddings, biases and norms. With AdamW alone the
# decoder takes many times as long to find out that the source is of use.

# %%
steps = arguments.steps
optimizer = Optimizer(model, TrainSettings(steps=steps, embedding_learning_rate=0.01))
check = pair_batch([encoded(pair) for pair in held_out[:200]], tokenizer.pad_id, start)
began = time.perf_counter()
for step, batch in zip(range(steps), batches()):
    model.train()
    loss = loss_of(batch)
    loss.backward()
    optimizer.step(step, rate=min((step + 1) / 20, 1 - step / steps))
    optimizer.zero_gradients()
    if step % 50 == 0 or step == steps - 1:
        model.eval()
        with torch.no_grad():
            judged_loss = loss_of(check).item()
        seconds = time.perf_counter() - began
        print(f"step {step:4}  loss {loss.item():.3f}  held out {judged_loss:.3f}  {seconds:.0f} s", flush=True)
_ = model.eval()


# %% [markdown]
# ## Translating
# The source is read once; the state remembers its keys and values for every layer of the decoder, and the beam's rows
# share it.


# %%
def translate(texts: list[str], beams: int) -> list[str]:
    """The best translation of each text."""
    sources = pair_batch([(tokenizer.encode(text), [tokenizer.eos_id]) for text in texts], tokenizer.pad_id, start)
    with torch.no_grad():
        state = model.encode(sources.source, sources.lengths)
    prompts = torch.full((len(texts), 1), start)
    found = beam_search(model, state, prompts, BeamSearch(beams), longest, {tokenizer.eos_id}, {tokenizer.pad_id})
    return [tokenizer.decode(answers[0].tokens) for answers in found]


judged = held_out[:100]
for beams in (1, 4):
    written = translate([pair.source for pair in judged], beams)
    right = sum(text == pair.target for text, pair in zip(written, judged))
    print(f"{beams} beam(s): {right} of {len(judged)} held-out texts are translated exactly as people did")
for pair, text in list(zip(judged, written))[:12]:
    print(f"  {pair.source} → {text}" + ("" if text == pair.target else f"   (people: {pair.target})"))
