# %% [markdown]
# # From a Wikipedia dump to a model that predicts
#
# A dump as Wikipedia writes it → clean text → a WordPiece vocabulary → a Transformer with a model width of 512, 8
# heads, 2 layers and 2,048 wide feed-forward layers → saved → loaded → a prediction, decoded. Every step is a function
# of textmill that `textmill run` would call for you.

# %%
import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

import textmill
from textmill.corpus.build import build_corpus
from textmill.corpus.samples import fetch_sample
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.store import read_corpus
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling
from textmill.models.architectures import build
from textmill.models.count import count
from textmill.models.settings import ModelSettings
from textmill.tokens.data import TokenData
from textmill.tokens.loader import Loader
from textmill.tokens.plans import BlockPlan
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.shards import write_shards
from textmill.tokens.training import train_tokenizer

parser = argparse.ArgumentParser(description="A Wikipedia dump becomes a small Transformer over WordPiece tokens.")
parser.add_argument("--steps", type=int, default=70, help="training steps of 2,048 tokens (default: 70)")
steps = parser.parse_args([] if "ipykernel" in sys.modules else None).steps
work = Path(tempfile.mkdtemp(prefix="textmill-example-"))

# %% [markdown]
# ## Dump → clean text
# The sample is a piece of the real English dump: 206 pages of wiki markup, redirects among them. What is dropped is
# named.

# %%
dump = fetch_sample("wikipedia")
card = build_corpus(CorpusSettings(source=str(dump)), work)
for step_name, rules in card["dropped"].items():
    print(f"dropped by {step_name}: {', '.join(f'{dropped} {rule}' for rule, dropped in rules.items())}")
documents = list(read_corpus(work / "train.jsonl.zst"))
print(f"{len(documents)} articles are left to learn from; one begins: {documents[0].text[:200]!r}")

# %% [markdown]
# ## Text → WordPiece
# A piece that goes on within a word begins with `##` in BERT's files; here spaces belong to the pieces, so that
# decoding is simply putting them together again.

# %%
tokenizer = train_tokenizer(TokenizerSettings(kind="wordpiece", vocabulary_size=8192), (each.text for each in documents))
ids = tokenizer.encode("The unbelievable history of anthropology")
print([tokenizer.decode([id]) for id in ids])
assert tokenizer.decode(ids) == "The unbelievable history of anthropology"

write_shards(work / "tokens", tokenizer, documents)
data = TokenData.open(work / "tokens")
loader = Loader(data, BlockPlan(context=128, batch_size=16), seed=0)
print(f"{data.tokens:,} tokens")

# %% [markdown]
# ## A Transformer
# GPT-2's layout: learned positions, LayerNorm before each sub-layer, GELU.

# %%
settings = ModelSettings(architecture="gpt2", width=512, heads=8, layers=2, feed_forward_width=2048, context_length=128)
model = build(settings.config(tokenizer.vocabulary_size))
model.initialise(seed=0)
print(f"{count(model.config).parameters:,} parameters")

# %% [markdown]
# ## Training
# Batch number n is a function of the data, the seed and n: targets are the inputs, one token on. The model gives the
# *sum* of the targets' losses, without ever holding the logits of all tokens.

# %%
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1 - step / steps))
model.train()
began = time.perf_counter()
for step in range(steps):
    batch = loader.batch(step)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    loss = model(batch.inputs, batch.targets) / batch.tokens
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    if step % 10 == 0 or step == steps - 1:
        print(f"step {step:3}  loss {loss.item():.3f}  {time.perf_counter() - began:.0f} s", flush=True)

# %% [markdown]
# ## Save → load → predict → decode

# %%
model.eval()
save_model_folder(work / "model", model, tokenizer, {"example": "wikipedia_to_wordpiece_model"})
loaded = textmill.load(work / "model")
prompt = "The history of the"
inputs = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(prompt)]])
with torch.no_grad():
    logits = loaded.model(inputs)[0, -1]
    assert torch.allclose(logits, model(inputs)[0, -1])
likeliest = logits.softmax(-1).topk(5)
print(f"after {prompt!r}:")
for probability, id in zip(likeliest.values, likeliest.indices):
    print(f"  {probability:6.1%}  {loaded.tokenizer.decode([int(id)])!r}")
print(prompt + complete(loaded.model, loaded.tokenizer, prompt, Sampling(temperature=0.7, seed=1), max_tokens=40))
print(f"the model is in {work / 'model'}")
