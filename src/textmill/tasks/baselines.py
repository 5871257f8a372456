"""What needs no neural network, beside every classifier's score: what is most frequent, and linear models over words and pairs
of them, by scikit-learn.

TF-IDF with a linear support vector machine (Joachims 1998), and one over the log-count ratios of naive Bayes (Wang & Manning
2012, "Baselines and Bigrams"), with the classical preprocessing as its options.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .settings import BaselineSettings

PENALTY = {"TF-IDF, linear SVM": 0.5, "NB-SVM": 1.0}  # C of the support vector machines, as published
SMOOTHING = 1.0  # of the counts of naive Bayes
INTERPOLATION = 0.25  # between a class's mean weight and its own, as published
Labels = tuple[str, ...]
USUAL = BaselineSettings()


@dataclass(frozen=True)
class Bag:
    """How a text becomes a bag of features: `units` are words and strings of them, or strings of one to `longest` characters,
    as Chinese wants it."""

    units: Literal["words", "characters"] = "words"
    longest: int = 2
    lower: bool = True
    punctuation: bool = True
    stop_words: frozenset[str] = frozenset()

    def words(self, text: str) -> list[str]:
        """A text's words, and its punctuation marks where they count."""
        text = text.lower() if self.lower else text
        found = re.findall(r"\w+(?:['’]\w+)?|[^\w\s]" if self.punctuation else r"\w+(?:['’]\w+)?", text)
        return [word for word in found if word not in self.stop_words]

    def options(self) -> dict[str, Any]:
        """The same for scikit-learn's vectorizers."""
        own: dict[str, Any] = {"analyzer": "word", "tokenizer": self.words, "token_pattern": None}
        if self.units == "characters":
            own = {"analyzer": "char", "preprocessor": self._prepared}
        return {**own, "lowercase": False, "ngram_range": (1, self.longest)}

    def _prepared(self, text: str) -> str:
        text = text.lower() if self.lower else text
        return text if self.punctuation else "".join(c for c in text if not unicodedata.category(c).startswith("P"))


def bag_for(texts: Sequence[str], settings: BaselineSettings = USUAL) -> Bag:
    """As the settings say; auto: words, or characters where most letters are of a script that is written without spaces."""
    units = settings.units
    if units == "auto":
        letters = [character for text in texts[:1000] for character in text if character.isalpha()]
        chinese = sum("\u3040" <= character <= "\u9fff" for character in letters)
        units = "characters" if chinese > len(letters) / 2 else "words"
    longest = settings.longest or (3 if units == "characters" else 2)
    return Bag(units, longest, settings.lower, settings.punctuation, _stop_words(settings))


def _stop_words(settings: BaselineSettings) -> frozenset[str]:
    if settings.stop_words == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return frozenset(ENGLISH_STOP_WORDS)
    return frozenset(settings.stop_words if isinstance(settings.stop_words, list) else ())


def linear_predictions(
    name: str, bag: Bag, texts: Sequence[str], labels: Sequence[Labels], asked: Sequence[str], several: bool = False
) -> list[Labels]:
    """What a linear model of this name, one of PENALTY, that has seen the labelled texts calls the others: each class against
    all others, and the highest wins. No label is a class like any other, unless `several` labels may be a text's."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.svm import LinearSVC

    bayes = name == "NB-SVM"
    vectorizer = CountVectorizer(binary=True, **bag.options()) if bayes else TfidfVectorizer(sublinear_tf=True, **bag.options())
    seen, new = vectorizer.fit_transform(texts), vectorizer.transform(asked)
    classes: list[Labels] = sorted({(label,) for own in labels for label in own} if several else set(labels))
    if len(classes) == 1 and not several:
        return classes * len(asked)
    two = len(classes) == 2 and not several
    margins = []
    for each in classes[1:] if two else classes:
        holds = np.array([each[0] in own if several else own == each for own in labels])
        if holds.all():
            margins.append(np.ones(len(asked)))
            continue
        ratio = _log_count_ratio(seen, holds) if bayes else np.ones(seen.shape[1])
        model = LinearSVC(C=PENALTY[name], random_state=0)
        model.fit(seen.multiply(ratio).tocsr(), holds)
        weights = model.coef_[0]
        if bayes:
            weights = (1 - INTERPOLATION) * np.abs(weights).mean() + INTERPOLATION * weights
        margins.append(new @ (weights * ratio) + model.intercept_[0])
    table = np.stack([-margins[0], margins[0]] if two else margins, axis=1)
    if several:
        return [tuple(each[0] for each, margin in zip(classes, row, strict=True) if margin > 0) for row in table]
    return [classes[place] for place in table.argmax(axis=1)]


def _log_count_ratio(counts: Any, holds: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How much likelier each feature is in the class than elsewhere, as a logarithm."""
    inside, outside = (np.asarray(counts[rows].sum(axis=0)).ravel() + SMOOTHING for rows in (holds, ~holds))
    ratio: npt.NDArray[np.float64] = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    return ratio


def majority(labels: Sequence[Labels]) -> Labels:
    """What most texts are called, of equally frequent ones the first in the alphabet."""
    return min(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[0]
