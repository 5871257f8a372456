"""A model folder is what stock transformers loads: same ids, same logits, same continuation; damage is noticed."""

import json

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill import load
from textmill.errors import ModelError, TextmillError
from textmill.formats.model_folder import save_model_folder
from textmill.inference.generate import complete
from textmill.inference.sampling import Sampling

SHAPES = [{}, {"tied_embeddings": True, "key_value_heads": 4}, {"head_dim": 24, "rope_theta": 500_000.0}]


@pytest.fixture(params=SHAPES, ids=["grouped", "tied", "wide heads"])
def folder(request, tmp_path, make_decoder, tokenizer):
    model = make_decoder(vocabulary_size=tokenizer.vocabulary_size, **request.param)
    save_model_folder(tmp_path / "model", model, tokenizer, {"recipe": "a test"})
    return tmp_path / "model", model


def test_stock_transformers_gives_the_same_logits_ids_and_continuation(folder, tokenizer, texts) -> None:
    path, model = folder
    stock = transformers.AutoModelForCausalLM.from_pretrained(path)
    stock_tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert type(stock).__name__ == "Qwen3ForCausalLM"
    text = texts[3][:150]
    ids = stock_tokenizer(text)["input_ids"]
    assert ids == [tokenizer.bos_id, *tokenizer.encode(text)]
    ids = torch.tensor([ids[:64]])
    with torch.no_grad():
        torch.testing.assert_close(stock(ids).logits, model(ids), atol=1e-4, rtol=1e-4)
    written = stock.generate(ids[:, :20], max_new_tokens=30, do_sample=False)[0, 20:]
    prompt = tokenizer.decode(ids[0, 1:20].tolist())
    assert [tokenizer.bos_id, *tokenizer.encode(prompt)] == ids[0, :20].tolist()
    expected = stock_tokenizer.decode(written, skip_special_tokens=True)
    # A character that the limit cut in two is left out by `complete`, and shown by the stock tokenizer as one mark.
    ours = complete(model, tokenizer, prompt, Sampling(temperature=0), max_tokens=30)
    assert ours in (expected, expected.removesuffix("\ufffd"))


def test_loading_gives_back_every_bit(folder, tokenizer) -> None:
    path, model = folder
    loaded = load(path)
    assert loaded.model.config == model.config
    assert loaded.lineage == {"recipe": "a test"}
    assert loaded.tokenizer.hash == tokenizer.hash
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


def test_what_is_wrong_is_told(folder, tmp_path) -> None:
    path, _ = folder
    weights = (path / "model.safetensors").read_bytes()
    config = json.loads((path / "config.json").read_text())

    def error_of(where=path) -> str:
        with pytest.raises(ModelError) as error:
            load(where)
        return str(error.value)

    assert load(tmp_path).path == path  # a run folder stands for the model in it
    assert "does not exist" in error_of(tmp_path / "modle") and "did you mean 'model'" in error_of(tmp_path / "modle")
    (path / "textmill.json").unlink()  # else every change below is told by its hash
    (path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "safetensors" in error_of()
    (path / "model.safetensors").rename(path / "model.bin")
    assert "pickle" in error_of()
    (path / "model.safetensors").write_bytes(weights)
    (path / "config.json").write_text(
        json.dumps({**config, "intermediate_size": 32, "num_hidden_layers": 2, "layer_types": None})
    )
    text = error_of()
    assert "has shape" in text and "not one of this model's" in text
    (path / "config.json").write_text(json.dumps({**config, "model_type": "qwen33"}))
    assert "'qwen33', did you mean 'qwen3'" in error_of()
    (path / "config.json").write_text(json.dumps({**config, "attention_bias": "yes", "hidden_act": "tanh"}))
    assert "attention_bias must be true or false, found 'yes'" in error_of() and "hidden_act is 'tanh'" in error_of()
    (path / "config.json").write_text("{")
    assert "not valid JSON" in error_of()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_any_flipped_byte_is_noticed_and_its_file_named(folder, data: st.DataObject) -> None:
    path, _ = folder
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    original = file.read_bytes()
    content = bytearray(original)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        with pytest.raises(TextmillError) as error:
            load(path)
        assert file.name in str(error.value)
    finally:
        file.write_bytes(original)


def test_a_folder_changed_on_purpose_is_loaded_once_its_lineage_is_gone(folder) -> None:
    path, _ = folder
    generation = json.loads((path / "generation_config.json").read_text())
    (path / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.5}))
    with pytest.raises(ModelError, match=r"generation_config\.json is not as textmill wrote it.*delete its textmill\.json"):
        load(path)
    (path / "generation_config.json").unlink()
    with pytest.raises(ModelError, match=r"generation_config\.json is missing"):
        load(path)
    (path / "textmill.json").unlink()
    assert load(path).lineage == {}
