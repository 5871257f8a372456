"""Models come in and go out tensor by tensor, and no bit changes that nobody asked to change."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from textmill import load
from textmill.errors import ModelError
from textmill.formats.model_folder import save_model_folder
from textmill.formats.sources import import_model
from textmill.formats.transfer import export_folder
from textmill.progress import Progress

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def take_in(source: Path, target: Path) -> None:
    import_model(str(source), target, Progress("importing", None, "bytes"))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def same_bits(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        theirs[name].dtype == one.dtype and torch.equal(theirs[name].view(torch.uint8), one.view(torch.uint8))
        for name, one in ours.items()
    )


@pytest.fixture
def theirs(make_decoder, tokenizer, tmp_path: Path) -> Path:
    """A folder as transformers writes it: bfloat16 with one norm in float32, in shards, with a chat template."""
    save_model_folder(tmp_path / "ours", make_decoder(query_key_norm=False), tokenizer, {}, "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.bfloat16)
    model.model.norm.float()
    model.save_pretrained(tmp_path / "theirs", max_shard_size="60KB")
    stock_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    stock_tokenizer.chat_template = TEMPLATE
    stock_tokenizer.save_pretrained(tmp_path / "theirs")
    settings = tmp_path / "theirs" / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "textmill_training": None}))
    generation = {"temperature": 0.6, "eos_token_id": [0, 7]}
    (tmp_path / "theirs" / "generation_config.json").write_text(json.dumps(generation))
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    return tmp_path / "theirs"


def test_in_and_out_again_every_bit_is_the_same(theirs: Path, tokenizer, tmp_path: Path) -> None:
    take_in(theirs, tmp_path / "in")
    export_folder(tmp_path / "in", tmp_path / "out", shard_bytes=50_000)
    assert same_bits(tensors(theirs), tensors(tmp_path / "in"))
    assert same_bits(tensors(theirs), tensors(tmp_path / "out"))
    assert len(list((tmp_path / "in").glob("*.safetensors"))) == 1 < len(list((tmp_path / "out").glob("*.safetensors")))
    model, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(report.values())
    assert model.generation_config.temperature == 0.6 and model.generation_config.eos_token_id == [0, 7]
    stock_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert stock_tokenizer.chat_template == TEMPLATE
    assert stock_tokenizer("Käse.")["input_ids"] == tokenizer.encode_whole("Käse.")
    lineage = load(tmp_path / "out").lineage["imported"]
    assert lineage["from"] == "theirs" and "config.json" in lineage["sha256"]


def test_weights_are_narrowed_only_when_asked_and_only_where_they_fit(theirs: Path, tmp_path: Path) -> None:
    for dtype in ("float16", "float32", "bfloat16"):
        export_folder(theirs, tmp_path / dtype, dtype)
        for name, tensor in tensors(tmp_path / dtype).items():
            assert torch.equal(tensor, tensors(theirs)[name].to(getattr(torch, dtype))), name
        assert json.loads((tmp_path / dtype / "config.json").read_text())["dtype"] == dtype
    one = next(file for file in theirs.glob("*.safetensors") if "model.norm.weight" in load_file(file))
    wide = load_file(one)
    wide["model.norm.weight"][3] = 1e6
    save_file(wide, one)
    with pytest.raises(ModelError, match=r"weight model\.norm\.weight has numbers up to 1e\+06, too large for float16"):
        export_folder(theirs, tmp_path / "wide", "float16")
    assert not (tmp_path / "wide").exists()


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_any_floating_point_numbers_are_read(theirs: Path, tmp_path: Path, dtype: str) -> None:
    export_folder(theirs, tmp_path / "out")
    stored = {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors(theirs).items()}
    save_file(stored, tmp_path / "out" / "model.safetensors")
    (tmp_path / "out" / "textmill.json").unlink()
    weights = load(tmp_path / "out").model.state_dict()
    assert torch.equal(weights["norm.weight"], tensors(theirs)["model.norm.weight"].to(getattr(torch, dtype)).float())


def test_names_as_others_write_them_are_known(theirs: Path, tmp_path: Path) -> None:
    export_folder(theirs, tmp_path / "out")
    (tmp_path / "out" / "textmill.json").unlink()
    file = tmp_path / "out" / "model.safetensors"
    stored = tensors(tmp_path / "out")
    bare = {name.removeprefix("model."): tensor for name, tensor in stored.items()}
    buffers = {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    save_file({**bare, **buffers}, file)
    assert torch.equal(load(tmp_path / "out").model.state_dict()["head.weight"], stored["lm_head.weight"].float())
    save_file({**bare, "layers.0.self_attn.extra": torch.ones(8)}, file)
    with pytest.raises(ModelError, match=r"weight layers\.0\.self_attn\.extra is not one of this model's"):
        load(tmp_path / "out")
    save_file({**bare, "model.norm.weight": stored["model.norm.weight"].clone()}, file)
    with pytest.raises(ModelError, match="are one and the same in llama"):
        load(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    save_file(stored, file)
    with pytest.raises(ModelError, match=r"lm_head\.weight and model\.embed_tokens\.weight differ, and config\.json says"):
        load(tmp_path / "out")
    save_file({**stored, "lm_head.weight": stored["model.embed_tokens.weight"].clone()}, file)
    assert load(tmp_path / "out").model.config.tied_embeddings


def test_broken_shards_are_told_together(theirs: Path) -> None:
    index = theirs / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    places = content["weight_map"]

    def error_of(changes: dict[str, object]) -> str:
        index.write_text(json.dumps({"weight_map": {**places, **changes}}))
        with pytest.raises(ModelError) as error:
            load(theirs)
        return str(error.value)

    first, *_, last = sorted(set(places.values()))
    assert "'../x.safetensors' is no file in this folder" in error_of({"model.norm.weight": "../x.safetensors"})
    assert "must name a file for each tensor" in error_of({"model.norm.weight": 7})
    name = next(name for name, file in places.items() if file == first)
    text = error_of({"more": last, name: "gone.safetensors"})
    assert f"lacks more, which {index.name} says is in it" in text and f"gone.safetensors, which {index.name} names" in text
    twice = {**load_file(theirs / last), name: load_file(theirs / first)[name]}
    save_file(twice, theirs / last)
    assert f"{last} holds {name}, which {theirs / first} holds as well" in error_of({})
    (theirs / first).unlink()
    assert f"{theirs / first}, which {index.name} names, isn't there; fetch it" in error_of({})
    index.write_text("[]")
    with pytest.raises(ModelError, match="holds no weight_map"):
        load(theirs)


def test_pickles_are_not_opened_and_the_way_to_convert_them_works(theirs: Path, tmp_path: Path) -> None:
    stored = tensors(theirs)
    for file in theirs.glob("*.safetensors*"):
        file.unlink()
    halves = [dict(list(stored.items())[:9]), dict(list(stored.items())[9:])]
    for number, half in enumerate(halves):
        torch.save(half, theirs / f"pytorch_model-0000{number}.bin")
    with pytest.raises(ModelError) as error:
        load(theirs)
    text = str(error.value)
    assert "which can run code when opened" in text
    exec("\n".join(line.strip() for line in text.splitlines() if line.startswith("    ")))
    take_in(theirs, tmp_path / "in")
    assert same_bits(stored, tensors(tmp_path / "in"))


def test_what_is_there_already_stays(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for write in (take_in, export_folder):
        with pytest.raises(ModelError, match="exists already"):
            write(theirs, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_what_no_stock_class_holds_is_kept_in_our_own_layout_and_not_exported(make_decoder, tokenizer, tmp_path: Path) -> None:
    model = make_decoder(positions="alibi", windows=(5, 0, 9), norm="layer", embedding_norm=True)
    save_model_folder(tmp_path / "own", model, tokenizer, {})
    assert json.loads((tmp_path / "own" / "config.json").read_text())["model_type"] == "textmill"
    loaded = load(tmp_path / "own")
    assert loaded.model.config == model.config
    assert all(torch.equal(loaded.model.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(ModelError, match=r"no stock class of transformers holds this shape \(.*positions is alibi"):
        export_folder(tmp_path / "own", tmp_path / "out")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    (tmp_path / "own" / "textmill.json").unlink()
    wrong = {"layers": 2**63, "windos": [], "norm_epsilon": "small", "norm": 3}
    for name, told in [("layers", "must be at most 10,000"), ("windos", "windos is not a setting"), ("norm", "norm: ")]:
        shape = {**config["shape"], name: wrong[name]}
        (tmp_path / "own" / "config.json").write_text(json.dumps({**config, "shape": shape}))
        with pytest.raises(ModelError, match=told):
            load(tmp_path / "own")
    assert dataclasses.asdict(model.config)["positions"] == "alibi"


def test_what_makes_vectors_of_texts_comes_along(make_decoder, tokenizer, tmp_path: Path) -> None:
    save_model_folder(tmp_path / "source", make_decoder(), tokenizer, {})
    (tmp_path / "source" / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 48}
    (tmp_path / "source" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    take_in(tmp_path / "source", tmp_path / "in")
    export_folder(tmp_path / "in", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text()) == pooling
