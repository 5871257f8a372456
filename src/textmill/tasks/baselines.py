"""What needs no neural network, beside every task's score: what is most frequent, and a linear model over words and pairs of
them.

TF-IDF with a linear support vector machine (Joachims 1998), by scikit-learn, with the classical preprocessing as its options.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Bag:
    """How a text becomes a bag of features: `units` are words and pairs of them, or strings of one to `longest` characters,
    as Chinese wants it."""

    units: Literal["words", "characters"] = "words"
    longest: int = 2
    lower: bool = True
    punctuation: bool = True
    stop_words: tuple[str, ...] = ()

    def words(self, text: str) -> list[str]:
        """A text's words, and its punctuation marks where they count."""
        text = text.lower() if self.lower else text
        found = re.findall(r"\w+(?:['’]\w+)?|[^\w\s]" if self.punctuation else r"\w+(?:['’]\w+)?", text)
        return [word for word in found if word not in self.stop_words]

    def vectorizer(self) -> Any:
        """Texts -> sparse TF-IDF vectors."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        if self.units == "words":
            return TfidfVectorizer(
                analyzer="word", tokenizer=self.words, token_pattern=None, lowercase=False, ngram_range=(1, self.longest),
                sublinear_tf=True,
            )  # fmt: skip
        return TfidfVectorizer(
            analyzer="char", preprocessor=self._prepared, lowercase=False, ngram_range=(1, self.longest), sublinear_tf=True
        )

    def _prepared(self, text: str) -> str:
        text = text.lower() if self.lower else text
        return text if self.punctuation else "".join(c for c in text if not unicodedata.category(c).startswith("P"))


def bag_for(texts: Sequence[str]) -> Bag:
    """Words, or characters where most letters are of a script that is written without spaces."""
    letters = [character for text in texts[:1000] for character in text if character.isalpha()]
    chinese = sum("\u3040" <= character <= "\u9fff" for character in letters)
    return Bag("characters", 3) if chinese > len(letters) / 2 else Bag()


def linear_predictions(bag: Bag, texts: Sequence[str], labels: Sequence[str], asked: Sequence[str]) -> list[str]:
    """What a linear model that has seen the labelled texts calls the others."""
    from sklearn.svm import LinearSVC

    vectorizer = bag.vectorizer()
    model = LinearSVC(C=0.5, random_state=0)
    model.fit(vectorizer.fit_transform(texts), labels)
    return [str(label) for label in model.predict(vectorizer.transform(asked))]


def majority(labels: Sequence[str]) -> str:
    """The most frequent label, of equally frequent ones the first in the alphabet."""
    return min(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[0]
