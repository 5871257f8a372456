"""Text comes back, special tokens stay special, files load where they should: for every kind of tokenizer."""

import itertools
import json
import shutil

import pytest
import tokenizers
import transformers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from textmill.errors import TokenizerError
from textmill.tokens.special_tokens import END_OF_TEXT, UNKNOWN
from textmill.tokens.splitting import independent_pieces
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.tokenizer_file import TOKENIZER_FILE

shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)

any_text = st.text() | st.text(alphabet="ab学习中文 \n\t.,'sé<|>0123\u0301\U0001f600", max_size=60)
real_words = st.lists(
    st.sampled_from(["the", " the", " value", "\n", "\n\n", "  ", "中文", "学习", "。", "мир", END_OF_TEXT, UNKNOWN, "’s"])
).map("".join)


@shared_fixture
@given(text=any_text | real_words)
@example(text="\ufeff\x00\r\n\u2028 \u00a0\u3000\U0010ffff")
def test_byte_level_tokenizers_restore_every_text(byte_level: Tokenizer, text: str) -> None:
    assert byte_level.decode(byte_level.encode(text)) == text
    assert byte_level.lost_bytes(text) == 0


@shared_fixture
@given(text=any_text | real_words)
def test_lost_bytes_are_those_that_do_not_come_back(tokenizer: Tokenizer, text: str) -> None:
    restored, lost = tokenizer.decode(tokenizer.encode(text)), tokenizer.lost_bytes(text)
    assert (lost == 0) == (restored == text)
    assert len(restored.encode()) + lost == len(text.encode())


@shared_fixture
@given(text=any_text | real_words)
@example(text=END_OF_TEXT)
@example(text=f"a{END_OF_TEXT}{UNKNOWN} {END_OF_TEXT}")
def test_text_never_becomes_the_separator(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.bos_id not in ids
    assert all(0 <= id < tokenizer.vocabulary_size for id in ids)


@shared_fixture
@given(text=any_text | real_words)
@example(text="")
@example(text=f"{UNKNOWN}\U0010ffff\r\n")
def test_characters_are_what_the_library_looks_up(tokenizers_by_kind: dict[str, Tokenizer], tmp_path, text: str) -> None:
    tokenizer = tokenizers_by_kind["character"]
    tokenizer.save(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_FILE))
    library.encode_special_tokens = True
    encoding = library.encode(text, add_special_tokens=False)
    assert tokenizer.encode_with_spans([text]) == [(encoding.ids, encoding.offsets)]
    assert tokenizer.encode(text) == encoding.ids


@shared_fixture
@given(texts=st.lists(any_text, max_size=4))
def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer, texts: list[str]) -> None:
    singles = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts) == singles
    assert [ids for ids, _ in tokenizer.encode_with_losses(texts)] == singles
    assert [ids for ids, _ in tokenizer.encode_with_spans(texts)] == singles


@shared_fixture
@given(text=st.lists(any_text | real_words).map(" ".join), length=st.integers(1, 12))
def test_pieces_have_the_tokens_of_the_whole(tokenizer: Tokenizer, text: str, length: int) -> None:
    pieces = list(independent_pieces(text, length))
    assert "".join(pieces) == text
    assert list(itertools.chain.from_iterable(tokenizer.encode_batch(pieces))) == tokenizer.encode(text)


@shared_fixture
@given(data=st.data())
def test_a_stream_gives_whole_characters_and_in_the_end_all_of_the_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    text = data.draw(any_text)
    stream = tokenizer.decode_stream()
    steps = [stream.step(id) for id in tokenizer.encode(text)]
    assert "�" not in "".join(steps).replace("�", "", text.count("�"))
    assert "".join(steps) + stream.flush() == tokenizer.decode(tokenizer.encode(text))

    ids = data.draw(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=30))
    assert "".join(map(stream.step, ids)) + stream.flush() == tokenizer.decode(ids)


def test_real_text_is_mostly_known(tokenizer: Tokenizer, texts: list[str]) -> None:
    if tokenizer.kind != "word":  # 600 words are few
        lost, size = sum(map(tokenizer.lost_bytes, texts)), sum(len(text.encode()) for text in texts)
        assert lost < 0.003 * size


def test_chinese_is_known_to_every_kind(tokenizer: Tokenizer) -> None:
    assert tokenizer.lost_bytes("我们学习中文。语言模型很重要") == 0


def test_an_unknown_character_costs_only_itself(tokenizer: Tokenizer) -> None:
    assert tokenizer.lost_bytes("学习龘中文") == (0 if tokenizer.unknown_id is None else len("龘".encode()))


def test_stock_transformers_gives_the_same_tokens_and_begins_with_bos(tokenizer: Tokenizer, texts, tmp_path) -> None:
    tokenizer.save(tmp_path, model_max_length=100_000)
    stock = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(stock, transformers.PreTrainedTokenizerFast)
    for text in [*texts[-6:], "", " ", "a  b\n\n c", "龘 🙂"]:
        ids = tokenizer.encode(text)
        assert stock(text, add_special_tokens=False).input_ids == ids
        assert stock(text).input_ids == [tokenizer.bos_id, *ids]
        assert stock.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids)
    assert (stock.bos_token_id, stock.eos_token_id) == (tokenizer.bos_id, tokenizer.eos_id)
    assert stock.unk_token_id == tokenizer.unknown_id
    assert len(stock) == tokenizer.vocabulary_size
    assert stock.model_max_length == 100_000


def test_loaded_is_what_was_saved(tokenizer: Tokenizer, texts: list[str], tmp_path) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.hash, loaded.kind, loaded.training) == (tokenizer.hash, tokenizer.kind, tokenizer.training)
    assert loaded.encode_batch(texts) == tokenizer.encode_batch(texts)
    assert loaded.encode(END_OF_TEXT) == tokenizer.encode(END_OF_TEXT)


def test_kinds_are_told_apart(tokenizers_by_kind: dict[str, Tokenizer]) -> None:
    assert {kind: tokenizer.kind for kind, tokenizer in tokenizers_by_kind.items()} == {k: k for k in tokenizers_by_kind}
    assert len({tokenizer.hash for tokenizer in tokenizers_by_kind.values()}) == len(tokenizers_by_kind)
    assert {tokenizer.bos_id for tokenizer in tokenizers_by_kind.values()} == {0}


def test_a_token_outside_the_vocabulary_is_refused(tokenizer: Tokenizer) -> None:
    for id in (-1, tokenizer.vocabulary_size):
        with pytest.raises(TokenizerError, match=str(id)):
            tokenizer.decode([id])


def test_lone_surrogates_are_refused_with_their_place(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"character 2 .* U\+D800"):
        tokenizer.encode("ab\ud800")


class TestLoadErrors:
    @pytest.fixture
    def folder(self, tokenizers_by_kind, tmp_path):
        tokenizers_by_kind["bpe"].save(tmp_path)
        return tmp_path

    def test_missing(self, tmp_path) -> None:
        with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
            Tokenizer.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"[1, 2]", b'{"model": {"type": "BPE"}}', b"\xff\xfe"])
    def test_other_content(self, folder, content: bytes) -> None:
        (folder / "tokenizer.json").write_bytes(content)
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            Tokenizer.load(folder)

    def test_cut_off(self, folder) -> None:
        path = folder / "tokenizer.json"
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(TokenizerError, match="holds no tokenizer"):
            Tokenizer.load(folder)

    def test_a_tokenizer_that_changes_text_is_refused_with_all_reasons(self, folder) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["normalizer"] = {"type": "Lowercase"}
        content["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(TokenizerError) as caught:
            Tokenizer.load(folder)
        assert len(caught.value.problems) == 2

    def test_without_its_config_it_still_loads(self, folder) -> None:
        (folder / "tokenizer_config.json").unlink()
        assert Tokenizer.load(folder).training == {}

    def test_a_folder_in_the_place_of_the_file(self, folder) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer.json").mkdir()
        with pytest.raises(TokenizerError, match="cannot read"):
            Tokenizer.load(folder)
        shutil.rmtree(folder / "tokenizer.json")
