"""Tokenizers from elsewhere: the same tokens as their stock classes, whole inputs alike, and no special token from a text."""

import json
import shutil
from pathlib import Path

import pytest
import transformers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from textmill.errors import TokenizerError
from textmill.tokens.tokenizer import Tokenizer

from .foreign import MAKERS

shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
SPECIAL = [
    "<|endoftext|>", "<|im_end|>", "<|im_start|>", "<s>", "</s>", "<unk>", "<pad>", "<mask>", "en_XX", "[CLS]", "[SEP]",
    "[MASK]", "[UNK]", "<|begin_of_text|>", "<|eot_id|>", "<think>",
]  # fmt: skip
WORDS = ["the", " the", "\n", "  ", "中文", "é", "▁", "'s", "12"]
HOSTILE = [
    "(a+)+$", "(a|a)*b", "(?:a*)*b", "(x?){30}y", r"([a-z]+)*\d", "(a{1,9}){9}", "a{2,3}+", r"(.)\1*", "((a{99}){99}){99}",
]  # fmt: skip
any_text = st.text() | st.lists(st.sampled_from([*SPECIAL, *WORDS])).map("".join)


@pytest.fixture(scope="module")
def loaded(foreign_folders: dict[str, Path]) -> dict[str, Tokenizer]:
    return {name: Tokenizer.load(folder) for name, folder in foreign_folders.items()}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def foreign(name: str, loaded: dict[str, Tokenizer]) -> Tokenizer:
    return loaded[name]


@pytest.fixture
def stock(name: str, foreign_folders: dict[str, Path]) -> transformers.PreTrainedTokenizerFast:
    return transformers.AutoTokenizer.from_pretrained(foreign_folders[name])


def test_tokens_and_whole_inputs_are_the_stock_class_s(foreign: Tokenizer, stock, texts: list[str]) -> None:
    for text in [*texts[-6:], "", " ", "a", " a", "a  b\n\n c 1234", "龘 🙂 É", "the the’s"]:
        assert foreign.encode(text) == stock(text, add_special_tokens=False, truncation=False, padding=False).input_ids
        assert foreign.encode_whole(text) == stock(text, truncation=False, padding=False).input_ids


def test_parts_are_the_stock_class_s(foreign: Tokenizer, stock) -> None:
    found = (foreign.bos_id, foreign.eos_id, foreign.pad_id, foreign.mask_id)
    assert found == (stock.bos_token_id, stock.eos_token_id, stock.pad_token_id, stock.mask_token_id)
    assert foreign.vocabulary_size == len(stock)


def test_decoding_is_the_stock_class_s(foreign: Tokenizer, stock, texts: list[str]) -> None:
    for text in [*texts[-6:], "a  b\n\n c 1234", "é 🙂", "it's so . , ! ?"]:
        ids = foreign.encode_whole(text)
        wanted = stock.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert foreign.decode(ids) == wanted
        stream = foreign.decode_stream()
        assert "".join(map(stream.step, ids)) + stream.flush() == wanted


@shared_fixture
@given(text=any_text)
@example(text="<s> a</s><unk>")
@example(text="".join(SPECIAL))
def test_no_text_becomes_a_special_token(foreign: Tokenizer, text: str) -> None:
    found = foreign.special_ids.intersection(foreign.encode(text))
    assert found <= {foreign.unknown_id}
    assert [ids for ids, _ in foreign.encode_with_spans([text])] == [foreign.encode(text)]


@shared_fixture
@given(text=any_text)
def test_nothing_is_lost_only_if_the_text_comes_back(foreign: Tokenizer, text: str) -> None:
    assert (foreign.lost_bytes(text) == 0) == (foreign.decode(foreign.encode(text)) == text)


@pytest.mark.parametrize("name", ["gpt2", "llama3", "chatml"])
@shared_fixture
@given(text=any_text)
def test_byte_level_ones_restore_every_text(foreign: Tokenizer, text: str) -> None:
    assert foreign.lossless
    assert foreign.decode(foreign.encode(text)) == text


def test_what_goes_on_keeps_its_space(loaded: dict[str, Tokenizer]) -> None:
    for foreign in (loaded["llama2"], loaded["mbart"], loaded["bert"]):
        ids = foreign.encode("the class")
        for continues in (True, False):
            stream = foreign.decode_stream(continues)
            assert "".join(map(stream.step, ids)) + stream.flush() == " " * continues + "the class"


def test_a_normaliser_is_said_to_lose_and_how_much(loaded: dict[str, Tokenizer]) -> None:
    bert = loaded["bert"]
    assert not bert.lossless
    assert bert.lost_bytes("the class") == 0
    assert bert.lost_bytes("the Class") == len("Class")
    assert bert.lost_bytes("the \n class") == len("\n ")
    assert bert.lost_bytes("the 龘") == len(" 龘".encode())


def test_which_tokens_begin_words(loaded: dict[str, Tokenizer]) -> None:
    for foreign in loaded.values():
        ids = foreign.encode("the unbelievable, internationalisation")
        words = "".join("|" * bool(foreign.begins_word[id]) + foreign.token_bytes(id).decode().strip() for id in ids)
        assert words.lstrip("|") == "the|unbelievable|,|internationalisation"
        assert foreign.begins_word[sorted(foreign.special_ids)].all()
    gpt2 = loaded["gpt2"]
    assert [bool(gpt2.begins_word[id]) for id in gpt2.encode("龘")] == [True, False, False]
    assert not gpt2.begins_word[gpt2.encode("é")].any()


class TestSurroundings:
    def test_each_kind_has_its_own(self, loaded: dict[str, Tokenizer]) -> None:
        def spelled(name: str) -> tuple[list[str | None], list[str | None]]:
            one = loaded[name]
            text = {id: text for text, id in one._backend.get_vocab().items()}
            return [text[id] for id in one.prefix], [text[id] for id in one.suffix]

        assert spelled("gpt2") == ([], [])
        assert spelled("llama3") == (["<|begin_of_text|>"], [])
        assert spelled("llama2") == (["<s>"], [])
        assert spelled("mbart") == ([], ["</s>", "en_XX"])
        assert spelled("bert") == (["[CLS]"], ["[SEP]"])

    @pytest.mark.parametrize("name", ["llama3", "llama2"])
    def test_bos_comes_once_also_where_the_text_begins_with_it(self, foreign: Tokenizer) -> None:
        assert foreign.special.bos
        ids = foreign.encode_whole(foreign.special.bos + "the class")
        assert ids == foreign.encode_whole("the class")
        assert ids.count(foreign.bos_id) == 1

    def test_a_beginning_has_no_end_and_is_never_empty(self, loaded: dict[str, Tokenizer]) -> None:
        assert loaded["bert"].encode_beginning("the") == loaded["bert"].encode_whole("the")[:-1]
        gpt2 = loaded["gpt2"]
        assert gpt2.encode_beginning("") == [gpt2.eos_id]
        assert gpt2.encode_beginning("the") == gpt2.encode("the")

    def test_documents_are_parted_by_the_separator_else_by_bos_and_eos(self, loaded: dict[str, Tokenizer]) -> None:
        assert (loaded["llama2"].document_start_id, loaded["llama2"].document_end_id) == (1, 2)
        chatml = loaded["chatml"]
        separator = chatml._backend.token_to_id("<|endoftext|>")
        assert (chatml.document_start_id, chatml.document_end_id) == (separator, separator) != (chatml.bos_id, chatml.eos_id)
        with pytest.raises(TokenizerError, match="no token that ends a document"):
            _ = loaded["bert"].document_end_id

    def test_generation_ends_where_the_files_say(self, loaded: dict[str, Tokenizer]) -> None:
        llama3 = loaded["llama3"]
        assert llama3.end_ids == {llama3.eos_id, llama3._backend.token_to_id("<|eot_id|>")}


def test_saved_it_is_the_same_for_stock_classes_and_here(foreign: Tokenizer, stock, texts, tmp_path: Path) -> None:
    foreign.save(tmp_path)
    again, stock_again = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*texts[-3:], "", "a  b 1234 É"]:
        whole = stock(text, truncation=False, padding=False).input_ids
        assert stock_again(text).input_ids == again.encode_whole(text) == foreign.encode_whole(text) == whole
    assert again.hash == foreign.hash
    assert {key: value for key, value in stock_again.special_tokens_map.items() if key != "additional_special_tokens"} == {
        key: value for key, value in stock.special_tokens_map.items() if key != "additional_special_tokens"
    }
    assert again.special == foreign.special or foreign.special.ends  # which generation_config.json tells, not this file


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value, of long lists and objects the first ones."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in list(inner)[:40] for place in places(one, (*path, key)))]


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_and_nothing_else(name, file, foreign_folders, tmp_path, data: st.DataObject) -> None:
    folder = Path(shutil.copytree(foreign_folders[name], tmp_path / "damaged", dirs_exist_ok=True))
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    *path, last = data.draw(st.sampled_from(places(content)[1:]))
    inner = content
    for key in path:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(
            st.sampled_from([None, True, 0, -1, 2**31, 2**63, 2**70, 0.5, "", "<s>", "▁", "\ud800", [], {}, [1]])
        )
    else:
        del inner[last]
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    try:
        damaged = Tokenizer.load(folder)
        for text in ("the class <s></s>[MASK] é 中\n  x", ""):
            damaged.decode(damaged.encode_whole(text))
            damaged.lost_bytes(text)
    except TokenizerError:
        return
    damaged.save(folder)
    assert Tokenizer.load(folder).encode("the class é") == damaged.encode("the class é")


def test_what_a_vocabulary_without_an_unknown_token_cannot_spell_is_told(foreign_folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(foreign_folders["mbart"], tmp_path / "mbart"))
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del content["model"]["unk_id"]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.decode(tokenizer.encode("the class")) == "the class"
    with pytest.raises(TokenizerError, match="can't spell a text"):
        tokenizer.encode("é")


class TestRefusals:
    @pytest.fixture
    def folder(self, foreign_folders: dict[str, Path], tmp_path: Path) -> Path:
        return Path(shutil.copytree(foreign_folders["llama3"], tmp_path / "folder"))

    def change(self, folder: Path, **parts: object) -> None:
        path = folder / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **parts}), encoding="utf-8")

    def refusal(self, folder: Path) -> str:
        with pytest.raises(TokenizerError) as caught:
            Tokenizer.load(folder)
        return str(caught.value)

    @pytest.mark.parametrize("pattern", HOSTILE)
    def test_a_pattern_that_could_take_any_time(self, folder: Path, pattern: str) -> None:
        self.change(
            folder, pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        )
        assert "could take any time" in self.refusal(folder)

    def test_an_added_token_with_a_lying_number(self, folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        first, second, *_ = content["added_tokens"]
        first["id"], second["id"] = second["id"], first["id"]
        self.change(folder, **content)
        assert "says that '<|begin_of_text|>' has the number 501, and it has 500" in self.refusal(folder)
        first["id"] = 3
        self.change(folder, **content)
        assert "its 503 tokens don't have the numbers 0 to 502" in self.refusal(folder)

    @pytest.mark.parametrize(
        "added", [[1], {"a": 1}, [{"content": "a"}], [{"content": [], "id": 1}], [{"content": "a", "id": "0"}]]
    )
    def test_added_tokens_that_are_none(self, folder: Path, added: object) -> None:
        self.change(folder, added_tokens=added)
        assert "tokens that are no tokens" in self.refusal(folder)

    @pytest.mark.parametrize("vocabulary", [None, 3, [[[], 0.0]], [["a", "b"]], ["a"], {"a": None}, {"a": 0.5}, {"a": -1}, {}])
    def test_vocabularies_that_are_none(self, folder: Path, vocabulary: object) -> None:
        for kind in ("BPE", "Unigram", "WordLevel", "WordPiece"):
            model = {"type": kind, "vocab": vocabulary, "merges": [], "unk_token": "a", "continuing_subword_prefix": "##"}
            self.change(folder, model=model | {"max_input_chars_per_word": 9})
            assert self.refusal(folder)

    def test_numbers_beyond_the_vocabulary(self, folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        content["model"]["vocab"]["!"] = 2**31
        self.change(folder, **content)
        assert "don't have the numbers 0 to" in self.refusal(folder)

    def test_merges_dropped_at_random(self, folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.change(folder, model={**content["model"], "dropout": 0.1})
        assert "drops merges at random" in self.refusal(folder)

    def test_a_normaliser_that_swells_the_text(self, folder: Path) -> None:
        self.change(folder, normalizer={"type": "Prepend", "prepend": "x" * 100_000})
        assert "puts 100,000 characters in the place of one" in self.refusal(folder)
        step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}
        self.change(folder, normalizer={"type": "Sequence", "normalizers": [step] * 6})
        assert "puts 46,656,000,000 characters in the place of one" in self.refusal(folder)

    @pytest.mark.parametrize(
        "single", [[{"Sequence": {"id": "A", "type_id": 0}}] * 2, [{"SpecialToken": {"id": "z", "type_id": 0}}]]
    )
    def test_a_template_that_does_more_than_stand_round_a_text(self, folder: Path, single: list) -> None:
        special = {"z": {"id": "z", "ids": [99_999], "tokens": ["z"]}}
        both = [{"Sequence": {"id": id, "type_id": 0}} for id in "AB"]
        parts = {"single": [*single, both[0]], "pair": both, "special_tokens": special}
        self.change(folder, post_processor={"type": "TemplateProcessing", **parts})
        refusal = self.refusal(folder)
        assert "writes a text not once" in refusal or "puts other things round a text" in refusal

    def test_a_way_of_joining_that_is_not_known(self, folder: Path) -> None:
        self.change(folder, decoder={"type": "BPEDecoder", "suffix": "</w>"})
        assert "joins its pieces in a way that isn't known here (decoder BPEDecoder)" in self.refusal(folder)

    @pytest.mark.parametrize("name", ["tokenizer.model", "vocab.txt", "merges.txt", "source.spm"])
    def test_older_files_are_told_how_to_become_one(self, folder: Path, name: str) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / name).write_text("old")
        assert f"it holds {name}, the older form: " in self.refusal(folder)

    def test_a_giant_file_is_not_opened(self, folder: Path) -> None:
        with open(folder / "tokenizer.json", "r+b") as stream:
            stream.truncate(10**12)  # a hole: it takes no room
        assert "isn't opened" in self.refusal(folder)

    @pytest.mark.parametrize("filler", ["[" + ",".join(["{}"] * 200_001) + "]", "[" + "0," * 3_000_000 + "0]"])
    def test_a_file_of_endless_values_is_not_opened(self, folder: Path, filler: str) -> None:
        (folder / "tokenizer.json").write_text(filler)
        assert "values, and a tokenizer of more than 200,000 or 3,000,000 isn't opened" in self.refusal(folder)

    def test_depth_without_end(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("[" * 1_000_000)
        assert "holds no tokenizer" in self.refusal(folder)

    def test_a_part_that_no_token_plays(self, folder: Path) -> None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<none>", "eos_token": "<neither>"}))
        refusal = self.refusal(folder)
        assert "name '<none>' as the bos token" in refusal and "name '<neither>' as the eos token" in refusal
