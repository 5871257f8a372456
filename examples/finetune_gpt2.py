# %% [markdown]
# # Fine-tuning a model in GPT-2's layout
#
# A small GPT-2 learns from Wikipedia, then is tuned to what Python says about itself: AdamW, labels shifted by one,
# evaluation on held-out documents of both texts before and after, saved and loaded again. With `--base FOLDER` it
# begins from any model folder, such as one that `textmill import hf:openai-community/gpt2 gpt2` made, and the first
# part is left out.

# %%
import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

import textmill
from textmill.corpus.document import Document
from textmill.evaluation.bits_per_byte import evaluate_scorers
from textmill.evaluation.scorers import ModelScorer
from textmill.evaluation.table import render_evaluation
from textmill.evaluation.texts import read_texts, text_settings
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling
from textmill.models.architectures import build
from textmill.models.settings import ModelSettings
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.training import train_tokenizer

parser = argparse.ArgumentParser(description="A small GPT-2 learns from Wikipedia, then from Python's documentation.")
parser.add_argument("--steps", type=int, default=140, help="steps of each of the two trainings (default: 140)")
parser.add_argument("--base", type=Path, help="a model folder to begin from, instead of training one")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)
work = Path(tempfile.mkdtemp(prefix="textmill-example-"))

# %% [markdown]
# ## Two texts, each split by documents


# %%
def documents_of(source: str) -> tuple[list[Document], list[Document]]:
    """Documents to learn from, and some to be judged by."""
    found = read_texts(text_settings([source], {}, {}), maximum_bytes=2_500_000).selection.documents
    return found[::10][:8], [each for number, each in enumerate(found) if number % 10]


wikipedia_held_out, wikipedia = documents_of("sample:wikipedia")
python_held_out, python = documents_of("sample:standard-library")
python_held_out = [Document(each.text[:4000], each.id, each.source) for each in python_held_out]
wikipedia_held_out = [Document(each.text[:4000], each.id, each.source) for each in wikipedia_held_out]

# %% [markdown]
# ## The base: GPT-2's layout
# Learned positions, LayerNorm with biases, GELU, one matrix as embedding and head.

# %%
context = 128
if arguments.base:
    base = textmill.load(arguments.base)
    model, tokenizer = base.model, base.tokenizer
else:
    tokenizer = train_tokenizer(TokenizerSettings(vocabulary_size=4096), (each.text for each in wikipedia + python))
    model = build(ModelSettings(architecture="gpt2", preset="3m", context_length=context).config(tokenizer.vocabulary_size))
    model.initialise(seed=0)


def token_stream(documents: list[Document]) -> torch.Tensor:
    """All documents in a row, each after the token that begins a text."""
    ids = [id for each in documents for id in (tokenizer.document_start_id, *tokenizer.encode(each.text))]
    return torch.tensor(ids)


# %% [markdown]
# ## One step, and the shift of the labels
# A causal model predicts token t + 1 from the tokens up to t. So the labels are the inputs moved by one: the last input
# has no label here, and the first token is never a label. Libraries that take `labels=inputs` do the same inside; doing
# both is a classic mistake.

# %%
rows = token_stream(python)[: 2 * (context + 1)].view(2, context + 1)
inputs, labels = rows[:, :-1], rows[:, 1:]
with torch.no_grad():
    logits = model(inputs)
    by_hand = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    assert torch.allclose(by_hand, model(inputs, labels), rtol=1e-4)  # the model's own loss never holds all logits at once


def train(documents: list[Document], steps: int, learning_rate: float, seed: int) -> None:
    """AdamW with a linear warm-up and decay, on random stretches of the text."""
    stream, generator = token_stream(documents), torch.Generator().manual_seed(seed)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() == 1]  # norms and biases aren't decayed
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1 - step / steps))
    model.train()
    began = time.perf_counter()
    for step in range(steps):
        starts = torch.randint(0, len(stream) - context - 1, (16,), generator=generator)
        rows = torch.stack([stream[start : start + context + 1] for start in starts])
        loss = model(rows[:, :-1], rows[:, 1:]) / rows[:, 1:].numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            print(f"  step {step:3}  loss {loss.item():.3f}  {time.perf_counter() - began:.0f} s", flush=True)
    model.eval()


def judge(title: str) -> None:
    """Bits per byte on held-out documents of both texts."""
    for name, documents in (("Wikipedia", wikipedia_held_out), ("Python's documentation", python_held_out)):
        evaluation = evaluate_scorers([ModelScorer(model, tokenizer, context, name=title)], documents, 1000)
        print(f"{name}:\n{render_evaluation(evaluation)}")


# %% [markdown]
# ## Before

# %%
if not arguments.base:
    print("learning from Wikipedia")
    train(wikipedia, arguments.steps, learning_rate=3e-3, seed=0)
judge("before")

# %% [markdown]
# ## Fine-tuning, and after
# A lower learning rate, and few steps: what was learnt before should be bent, not broken. How much of it goes is seen
# on Wikipedia.

# %%
print("learning from Python's documentation")
train(python, arguments.steps, learning_rate=1e-3, seed=1)
judge("after")

# %% [markdown]
# ## Saved, loaded, the same

# %%
save_model_folder(work / "model", model, tokenizer, {"example": "finetune_gpt2"})
loaded = textmill.load(work / "model")
with torch.no_grad():
    assert torch.equal(loaded.model(inputs), model(inputs))
prompt = "Return the"
print(prompt + complete(loaded.model, loaded.tokenizer, prompt, Sampling(temperature=0.7), max_tokens=40))
print(f"the model is in {work / 'model'}; transformers loads it with GPT2LMHeadModel.from_pretrained")
