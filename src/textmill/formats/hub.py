"""Models on the Hugging Face hub, for whoever writes hf:owner/name: configuration, tokenizer, safetensors; never a pickle."""

from pathlib import Path

from ..errors import ModelError
from ..progress import Progress
from .recognise import PICKLES, looks_like_hub_name

PREFIX = "hf:"
WANTED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
)


def fetch_from_hub(source: str, progress: Progress | None = None) -> tuple[Path, str]:
    """The folder with the files of `hf:owner/name` or `hf:owner/name@revision`, and the commit that they are of.

    They are kept in the hub library's own cache, and fetched once. Raises ModelError where the library isn't installed, the
    model can't be had, or has no safetensors.
    """
    name = source.removeprefix(PREFIX)
    if not looks_like_hub_name(name):
        raise ModelError(f"{source}: write hf:owner/name, or hf:owner/name@revision with a branch, tag or commit")
    try:
        import huggingface_hub
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise ModelError(
            f"{source} needs the library of the hub: pip install huggingface_hub; or fetch the folder in another way, and give "
            "its path"
        ) from error
    repository, _, revision = name.partition("@")
    try:
        info = huggingface_hub.HfApi().model_info(repository, revision=revision or None)
        files = [file.rfilename for file in info.siblings or []]
        if "config.json" not in files or not any(file.endswith(".safetensors") for file in files):
            raise ModelError(_unfit(source, files))
        if progress:
            progress.say(f"fetching {repository} at commit {info.sha}")
        folder = huggingface_hub.snapshot_download(repository, revision=info.sha, allow_patterns=list(WANTED))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(
            f"{source}: the hub has no such model or revision, or shows it only to those who are logged in (`hf auth login`)"
        ) from error
    except ModelError:
        raise
    except Exception as error:  # those of whichever HTTP library the hub's own is built on
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{source} can't be fetched: {reason}; try again, or fetch it elsewhere and give its path") from error
    return Path(folder), str(info.sha)


def _unfit(source: str, files: list[str]) -> str:
    if pickled := [file for file in files if file.endswith(PICKLES)]:
        return (
            f"{source} has its weights only as pickles ({pickled[0]}), which can run code when opened and are not fetched; "
            "ask its owner for safetensors"
        )
    return f"{source} has no config.json and model.safetensors; it has {', '.join(files[:5]) or 'no files'}"
