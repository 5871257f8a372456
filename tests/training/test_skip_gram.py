"""Skip-gram learns which words stand together, by the gradient of its loss, the same each time, in bounded memory."""

import random
import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from textmill.errors import TrainingError
from textmill.training.skip_gram import NEGATIVES, SkipGram, SkipGramSettings, train_word_vectors
from textmill.training.word_stream import END, near_pairs, stretch_length, word_stream

SMALL = SkipGramSettings(dimension=16, epochs=3, minimum_count=2)


def two_topics(documents: int = 400) -> list[str]:
    """Documents of which each takes all of its words from one of two lists."""
    draw = random.Random(3)
    topics = [[f"{topic}{number}" for number in range(10)] for topic in ("sea", "sky")]
    return [" ".join(draw.choices(draw.choice(topics), k=12)) for _ in range(documents)]


def test_the_nearest_word_is_of_the_same_topic() -> None:
    words, vectors = train_word_vectors(two_topics(), SMALL)
    assert len(words) == 20 and vectors.shape == (20, 16)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(20)
    assert all(words[near][:3] == word[:3] for word, near in zip(words, cosines.argmax(1)))


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    words, vectors = train_word_vectors(two_topics(50), SMALL)
    again_words, again = train_word_vectors(iter(two_topics(50)), SMALL)
    assert again_words == words and again.tobytes() == vectors.tobytes()
    _, other = train_word_vectors(two_topics(50), SkipGramSettings(16, 5, 3, 2, seed=1))
    assert not np.allclose(other, vectors)


def small_model() -> SkipGram:
    model = SkipGram(6, 4, seed=0)
    generator = torch.Generator().manual_seed(1)
    model.words.normal_(generator=generator)
    model.contexts.normal_(generator=generator)
    return model


def test_a_step_goes_down_the_gradient_of_the_paper_s_loss() -> None:
    model = small_model()
    centres, contexts, noise = torch.tensor([0, 1, 0]), torch.tensor([2, 2, 3]), torch.tensor([4, 2, 4, 5])
    words, others = model.words.clone().requires_grad_(), model.contexts.clone().requires_grad_()
    loss = torch.zeros(())
    for centre, context in zip(centres, contexts):
        loss = loss - F.logsigmoid(words[centre] @ others[context])
        for far in noise:
            loss = loss - NEGATIVES / len(noise) * F.logsigmoid(-words[centre] @ others[far])
    loss.backward()
    assert words.grad is not None and others.grad is not None
    expected_words, expected_contexts = words - 0.1 * words.grad, others - 0.1 * others.grad
    torch.testing.assert_close(model.step(centres, contexts, noise, 0.1), loss)
    torch.testing.assert_close(model.words, expected_words)
    torch.testing.assert_close(model.contexts, expected_contexts)


def test_the_gradient_of_one_pair_worked_by_hand() -> None:
    # w = (1, 0), u = (0, 1), noise n = (1, 1): w·u = 0 and w·n = 1, so sigma is 0.5 and 0.7311.
    model = SkipGram(2, 2, seed=0)
    model.words.copy_(torch.tensor([[1.0, 0.0], [9.0, 9.0]]))
    model.contexts.copy_(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    loss, centre, context, drawn = model.gradients(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    assert float(loss) == pytest.approx(0.6931 + 5 * 1.3133, abs=1e-3)
    torch.testing.assert_close(centre, torch.tensor([[5 * 0.7311, -0.5 + 5 * 0.7311]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(context, torch.tensor([[-0.5, 0.0]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn, torch.tensor([[5 * 0.7311, 0.0]]), atol=1e-3, rtol=0)


def test_the_vocabulary_is_counted_and_rare_words_are_as_if_not_there() -> None:
    with word_stream(["The cat, the dog", "a cat: the hat", ""], minimum_count=2) as stream:
        assert stream.words == ["the", "cat"] and stream.counts.tolist() == [3, 2]
        assert [part.tolist() for part in stream.stretches(100)] == [[0, 1, 0, END, 1, 0, END, END]]
        assert np.concatenate(list(stream.stretches(3))).tolist() == [0, 1, 0, END, 1, 0, END, END]
    with pytest.raises(TrainingError, match=r"1 of 5 different words come 3 times or more; .* lower --minimum-count"):
        word_stream(["The cat, the dog", "a cat: the hat"], minimum_count=3).__enter__()


def all_pairs(stretch: list[int], window: int, seed: int = 0) -> list[tuple[int, int]]:
    words = max(stretch) + 1
    pairs = near_pairs(np.array(stretch, dtype=np.int32), np.ones(words), window, np.random.default_rng(seed))
    return sorted(zip(*(side.tolist() for side in pairs)))


def test_texts_of_one_word_teach_nothing_and_say_so() -> None:
    with pytest.raises(TrainingError, match="no two of the words"):
        train_word_vectors(["sea", "sky"] * 9, SMALL)


def test_pairs_are_near_and_never_across_documents() -> None:
    assert all_pairs([0, 1, END, 2, 3, END], window=1) == [(0, 1), (1, 0), (2, 3), (3, 2)]
    stretch = [0, 1, 2, 3, 4, 5, END, 6, 7]
    seen = {pair for seed in range(60) for pair in all_pairs(stretch, 3, seed)}
    assert seen == {(a, b) for part in ([0, 1, 2, 3, 4, 5], [6, 7]) for a in part for b in part if 0 < abs(a - b) <= 3}
    counts = [sum(all_pairs(stretch, 3, seed).count((2, other)) for seed in range(300)) for other in (3, 4, 5)]
    assert counts[0] == 300 and counts[1] == pytest.approx(200, abs=40) and counts[2] == pytest.approx(100, abs=40)
    assert all_pairs([END, END], 3) == [] == all_pairs([0], 3)


def test_frequent_words_are_thinned_out() -> None:
    stretch, keep = np.tile(np.array([0, 1], dtype=np.int32), 5000), np.array([0.1, 1.0])
    centres, _ = near_pairs(stretch, keep, 2, np.random.default_rng(0))
    assert np.count_nonzero(centres == 0) / len(centres) == pytest.approx(0.1 / 1.1, abs=0.02)


def test_memory_does_not_grow_with_the_text() -> None:
    def peak(documents: int) -> int:
        texts = (" ".join(f"w{number % 97}" for number in range(start, start + 2000)) for start in range(documents))
        tracemalloc.start()
        with word_stream(texts, 1) as stream:
            keep, generator = np.ones(len(stream.words)), np.random.default_rng(0)
            for stretch in stream.stretches(stretch_length(50)):
                assert len(stretch) <= stretch_length(50)
                near_pairs(stretch, keep, 50, generator)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(100) < 1.2 * peak(25)
