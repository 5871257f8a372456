"""What was read once needn't be read again: the states of prompts' first blocks, kept for the next prompt that begins alike.

A block is found by a chain of hashes that begins with the asker's salt, so that nobody learns from a time what another has
asked; and since hashes may collide, its tokens are compared (vLLM's GHSA-rm76-4mrf-v9r8). The least recently used go first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..models.slots import PieceSlots

BLOCK = 32  # tokens


@dataclass(frozen=True)
class Block:
    """The state's part that `BLOCK` tokens, behind those of the blocks before, have made."""

    tokens: tuple[int, ...]
    piece: list[Tensor]

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(part.nbytes for part in self.piece)


class Chain:
    """The keys of one text's whole blocks, each of which holds those of all before it: made once, as the text is read."""

    def __init__(self, salt: str):
        self._key, self.blocks = hashlib.sha256(salt.encode()).digest(), 0

    def follow(self, tokens: Sequence[int], length: int) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        """The key and the tokens of each further whole block among the first `length` tokens of the text. A block counts as
        followed once the one behind it is asked for."""
        while (end := (self.blocks + 1) * BLOCK) <= length:
            block = tuple(tokens[end - BLOCK : end])
            key = hashlib.sha256(self._key + np.array(block, dtype=np.int64).tobytes()).digest()
            yield key, block
            self._key, self.blocks = key, self.blocks + 1


class PrefixCache:
    """Blocks of the rows of `slots`, `memory` bytes of them at most."""

    def __init__(self, slots: PieceSlots, memory: int):
        self.slots, self.memory, self.bytes = slots, memory, 0
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()  # the most recently used last

    def restore(self, row: int, tokens: Sequence[int], chain: Chain) -> int:
        """Give a fresh row the longest beginning of `tokens` that is known; at least one token is left to be read. Returns how
        many tokens it has now. `chain`: the text's, not yet followed."""
        found = []
        for key, block_tokens in chain.follow(tokens, len(tokens) - 1):
            block = self._blocks.get(key)
            if block is None or block.tokens != block_tokens:
                break
            found.append((key, block))
        for key, _ in reversed(found):  # a block is of no use without those before it, so those go last
            self._blocks.move_to_end(key)
        self.slots.load(row, [block.piece for _, block in found], BLOCK)
        return len(found) * BLOCK

    def keep(self, row: int, tokens: Sequence[int], length: int, chain: Chain) -> None:
        """Keep the whole blocks that a row has read since it was last asked, of the first `length` of `tokens`."""
        for key, block_tokens in chain.follow(tokens, length):
            if key in self._blocks:
                continue
            piece = self.slots.piece(row, chain.blocks * BLOCK, (chain.blocks + 1) * BLOCK, length)
            if piece is None:
                continue
            block = Block(block_tokens, piece)
            if block.bytes > self.memory:
                return
            self._blocks[key] = block
            self.bytes += block.bytes
        while self.bytes > self.memory:
            self.bytes -= self._blocks.popitem(last=False)[1].bytes

    def __len__(self) -> int:
        return len(self._blocks)
