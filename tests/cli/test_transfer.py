"""`textmill import` and `export`: what they say, what they refuse, and models by the names of samples and of the hub."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from textmill import load
from textmill.formats.model_folder import save_model_folder
from textmill.formats.opened_folder import open_model_folder
from textmill.formats.sources import model_path

REFUSED = """
import sys
from textmill.errors import ModelError
from textmill.formats.hub import fetch_from_hub
for name in sys.argv[1:]:
    try:
        fetch_from_hub(f"hf:{name}")
    except ModelError as error:
        print(error)
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """The few addresses of the hub that its client asks for one model: what there is, and the files."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(("/api/models/someone/tiny", "/api/models/someone/pickled")):
            names = sorted(file.name for file in self.folder.iterdir())
            if "pickled" in path:
                names.remove("model.safetensors")
            if "/tree/" in path:
                files = [{"type": "file", "path": name, "oid": "0" * 40, "size": 1} for name in names]
                return self._send(json.dumps(files).encode(), body, "application/json")
            information = {"id": "someone/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            return self._send(json.dumps(information).encode(), body, "application/json")
        name = path.removeprefix(f"/someone/tiny/resolve/{COMMIT}/")
        if (self.folder / name).is_file():
            self.asked.append(name)
            return self._send((self.folder / name).read_bytes(), body, "application/octet-stream")
        self.send_response(418 if "teapot" in path else 404)
        if "teapot" not in path:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _send(self, content: bytes, body: bool, kind: str) -> None:
        self.send_response(200)
        for key, value in {"Content-Type": kind, "ETag": f'"{hash(content)}"', "X-Repo-Commit": COMMIT}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(make_decoder, tokenizer, tmp_path: Path) -> Path:
    save_model_folder(tmp_path / "tiny", make_decoder(query_key_norm=False), tokenizer, {}, "llama")
    return tmp_path / "tiny"


@pytest.fixture
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has one model, `someone/tiny`, and the names of the files that were asked of it."""
    (folder / "textmill.json").unlink()
    torch.save({"weight": torch.ones(1)}, folder / "pytorch_model.bin")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('this ran')")
    handler = type("TinyHub", (Hub,), {"folder": folder, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def test_a_model_on_the_hub_comes_without_its_pickles_and_code(hub, folder: Path, tmp_path: Path, starter) -> None:
    address, asked = hub
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    result = starter(tmp_path, "import", "hf:someone/tiny", "in", environment=environment)
    assert result.returncode == 0, result.stderr
    assert f"fetching someone/tiny at commit {COMMIT}" in result.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(asked)
    assert not {"pytorch_model.bin", "modeling_tiny.py"} & set(asked)
    assert load(tmp_path / "in").lineage["imported"]["from"] == "hf:someone/tiny"
    assert load(tmp_path / "in").lineage["imported"]["commit"] == COMMIT
    lineage = starter(tmp_path, "inspect", "in").stdout.partition("Lineage")[2]
    assert "hf:someone/tiny" in lineage and COMMIT in lineage and "model.safetensors" in lineage
    names = ["someone/else", "someone/pickled", "someone/teapot"]
    (tmp_path / "refused.py").write_text(REFUSED)
    refused = starter(tmp_path, *names, script=tmp_path / "refused.py", environment=environment)
    nowhere, pickled, teapot = refused.stdout.splitlines()
    assert "the hub has no such model" in nowhere
    assert "has its weights only as pickles (pytorch_model.bin)" in pickled
    assert "hf:someone/teapot can't be fetched" in teapot


def test_a_name_is_looked_up_only_by_those_who_ask_for_it(textmill, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in (["import", "someone/tiny", "in"], ["generate", "someone/tiny"], ["inspect", "someone/tiny"]):
        result = textmill(*verb)
        assert result.code == 2 and "textmill import hf:someone/tiny tiny" in result.err, verb
    assert "fetched first: textmill import hf:someone/tiny tiny" in textmill("generate", "hf:someone/tiny").err
    assert "write hf:owner/name" in textmill("import", "hf:tiny", "in").err


def test_in_and_out_by_the_verbs(textmill, folder: Path, tmp_path: Path) -> None:
    result = textmill("import", folder, tmp_path / "in")
    assert result.code == 0
    assert "a decoder of" in result.out and "in the layout of llama; context of 64 tokens; bpe tokenizer of 512" in result.out
    assert result.out.splitlines()[-1] == f"Next: textmill generate {tmp_path / 'in'}"
    assert "exists already" in textmill("import", folder, tmp_path / "in").err
    assert textmill("export", tmp_path / "in", "--out", tmp_path / "half", "--dtype", "bfloat16").code == 0
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    result = textmill("export", tmp_path / "in", "--to", "gguf", "--out", tmp_path / "tiny.gguf", "--dtype", "F32")
    assert result.code == 0, result.err
    assert "textmill import" in textmill("generate", tmp_path / "tiny.gguf").err
    assert textmill("import", tmp_path / "tiny.gguf", tmp_path / "back").code == 0
    ours, back = load(folder).model, load(tmp_path / "back").model
    assert ours.config == back.config
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in back.state_dict().items())
    shards = textmill("export", tmp_path / "in", "--out", tmp_path / "shards", "--shard-size", 0.001)
    assert shards.code == 0 and (tmp_path / "shards" / "model.safetensors").is_file()
    for kind in ("gguf", "onnx"):
        refused = textmill("export", tmp_path / "in", "--to", kind, "--out", tmp_path / "no", "--shard-size", 2)
        assert refused.code == 2 and f"--shard-size 2: {kind} isn't written in several files" in refused.err
        assert not (tmp_path / "no").exists()
    assert "did you mean 'gguf'" in textmill("export", folder, "--to", "guff", "--out", tmp_path / "x").err
    assert "did you mean 'float16'" in textmill("export", folder, "--dtype", "flaot16", "--out", tmp_path / "x").err


def test_the_sample_stands_wherever_a_model_is_taken(textmill, real_sample, tmp_path: Path, monkeypatch) -> None:
    """SmolLM2 itself: imported once, on its first use; it writes on, answers in its own template, and has its bits per byte."""
    file = real_sample("smollm2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "textmill" / "samples").mkdir(parents=True)
    (tmp_path / "textmill" / "samples" / file.name).symlink_to(file)
    first = textmill("generate", "sample:smollm2", "The capital of France is", "--max-tokens", 4, "--temperature", 0)
    assert first.code == 0 and "Paris" in first.out
    folder = tmp_path / "textmill" / "models" / "smollm2"
    made = (folder / "textmill.json").stat().st_mtime_ns
    assert model_path("sample:smollm2") == folder
    assert (folder / "textmill.json").stat().st_mtime_ns == made
    question = b"What is the capital of France?\n"
    answer = textmill("chat", "sample:smollm2", "--max-tokens", 12, "--temperature", 0, typed=question)
    assert answer.code == 0 and answer.out == "The capital of France is Paris.\n"
    text = tmp_path / "text.txt"
    text.write_text("The capital of France is Paris. It lies on the Seine, and some two million people live there.", "utf-8")
    judged = json.loads(textmill("evaluate", "sample:smollm2", text, "--json").out)
    assert 0.2 < judged["systems"][0]["bits_per_byte"]["value"] < judged["xz_alone"]["value"] / 2
    made_of, folder = folder, tmp_path / "imported"
    assert textmill("import", "sample:smollm2", folder).code == 0
    assert open_model_folder(folder).config == open_model_folder(made_of).config


def test_the_sentence_encoder_gives_vectors(textmill, real_sample, tmp_path: Path, monkeypatch) -> None:
    """MiniLM itself."""
    source = real_sample("minilm")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "textmill" / "samples").mkdir(parents=True)
    (tmp_path / "textmill" / "samples" / source.name).symlink_to(source)
    texts = ["A man plays guitar.", "Someone makes music.", "Stocks fell today."]
    made = textmill("embed", "sample:minilm", *texts)
    vectors = torch.tensor([json.loads(line)["embedding"] for line in made.out.splitlines()])
    assert made.code == 0 and vectors.shape == (3, 384)
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.3
