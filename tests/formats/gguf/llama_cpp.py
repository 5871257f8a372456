"""llama.cpp itself, as the prebuilt `xllamacpp` has it: the tokens, probabilities and embeddings of a GGUF file."""

import json
import urllib.request
from pathlib import Path

import torch
import xllamacpp


class LlamaCpp:
    """A GGUF file, loaded; everything is computed in float32 on one thread."""

    def __init__(self, path: Path, embedding: bool = False):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 512
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.warmup = parameters.fit_params = False
        parameters.verbosity = -1
        parameters.embedding = embedding
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._server = xllamacpp.Server(parameters)

    def tokens(self, text: str, whole: bool = False) -> list[int]:
        """The text's tokens; `whole`: with what begins and ends it."""
        body = json.dumps({"content": text, "add_special": whole, "parse_special": False}).encode()
        request = urllib.request.Request(
            f"{self._server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["tokens"]

    def top(self, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The 50 likeliest tokens after these, and the logarithms of their probabilities; None, for it shows none, where the
        likeliest one ends the text or is a piece of a character."""
        question = {"prompt": ids, "n_predict": 1, "n_probs": 50, "temperature": -1.0, "cache_prompt": False}
        probabilities = self._server.handle_completions(question)["choices"][0]["logprobs"]
        if probabilities is None:
            return None
        listed = probabilities["content"][0]["top_logprobs"]
        return torch.tensor([one["id"] for one in listed]), torch.tensor([one["logprob"] for one in listed]).double()

    def embedding(self, text: str) -> torch.Tensor:
        """The text's embedding, of length 1."""
        answer = self._server.handle_embeddings({"input": text})
        return torch.tensor(answer["data"][0]["embedding"])
