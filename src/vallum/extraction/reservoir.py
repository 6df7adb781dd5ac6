"""Inputs kept for calibration: a few of each of a few accounts, so that no account can be the reference.

Which accounts are kept hangs on a secret: those whose names' keyed hashes are least.  So replicas keep the same
ones, and nobody can aim for a place.  Of a kept account the first inputs fill its share, and later ones take
their places ever more rarely, so that its share is an even sample of all it asked.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.extraction.reference import fit
from vallum.extraction.state import check_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.reference import Scale

ACCOUNTS_MAX = 256
SHARE_MAX = 16  # inputs of one account: 16 MiB of the longest inputs in all
INPUTS_MIN = 64  # below which nothing is fitted
ACCOUNTS_MIN = 8


class Sample(NamedTuple):
    """One input that was answered."""

    line: NDArray[np.float32]
    answer: float  # NaN: nothing to go by


class Reservoir:
    """Inputs of one kind."""

    def __init__(self, secret: bytes) -> None:
        """Keep inputs of the accounts that `secret` chooses."""
        self._secret = secret
        self._shares: dict[str, list[Sample]] = {}
        self._seen: dict[str, int] = {}
        self._order: dict[str, int] = {}  # of each account that is kept, its hash
        self._last = ""  # the account whose hash is largest, where all places are taken

    def __len__(self) -> int:
        """Return how many inputs are kept."""
        return sum(map(len, self._shares.values()))

    def offer(self, account: str, line: NDArray[np.floating], answer: float | None = None) -> bool:
        """Keep an input, or do not; say whether it is kept."""
        if account not in self._shares and not self._admit(account):
            return False
        share = self._shares[account]
        seen = self._seen[account] = self._seen[account] + 1
        sample = Sample(line.astype(np.float32), np.nan if answer is None else answer)
        if len(share) < SHARE_MAX:
            share.append(sample)
            return True
        place = self._hash(f"{seen} of {account}") % seen
        if place < SHARE_MAX:
            share[place] = sample
        return place < SHARE_MAX

    def state(self) -> Any:
        """Return what is kept."""
        shares = {name: [(each.line, each.answer) for each in share] for name, share in self._shares.items()}
        return {"seen": self._seen, "shares": shares}

    def take_state(self, state: Any) -> None:
        """Keep what another kept.  Raise ValueError for what is no state."""
        for name, share in dict(state["shares"]).items():
            samples = [Sample(check_array(line, np.float32, None), float(answer)) for line, answer in share]
            if self._admit(str(name)):
                self._shares[str(name)] = samples[:SHARE_MAX]
                self._seen[str(name)] = max(int(state["seen"][name]), len(samples))

    @property
    def accounts(self) -> frozenset[str]:
        """Whose inputs are kept."""
        return frozenset(self._shares)

    @property
    def samples(self) -> list[Sample]:
        """All inputs, in an order that hangs on nothing but them."""
        shares = sorted(self._shares.items(), key=itemgetter(0))  # in one step: accounts may come and go meanwhile
        return [sample for _, share in shares for sample in share]

    def is_enough(self) -> bool:
        """Say whether a scale can be fitted."""
        return len(self) >= INPUTS_MIN and len(self._shares) >= ACCOUNTS_MIN

    def fit(self, secret: bytes) -> Scale:
        """Fit a scale to the inputs of the commonest length; raise ValueError where there are too few."""
        if not self.is_enough():
            raise ValueError(f"a scale needs {INPUTS_MIN} inputs, of {ACCOUNTS_MIN} accounts")
        lengths: dict[int, float] = {}
        for share in self._shares.values():  # each account has one vote
            for sample in share:
                lengths[len(sample.line)] = lengths.get(len(sample.line), 0.0) + 1 / len(share)
        length = max(sorted(lengths), key=lambda key: lengths[key])
        alike = [sample for sample in self.samples if len(sample.line) == length]
        return fit(np.array([sample.line for sample in alike]), np.array([sample.answer for sample in alike]), secret)

    def _admit(self, account: str) -> bool:
        """Make room for an account, if its turn is before that of the last one kept."""
        order = self._hash(account)
        if len(self._shares) >= ACCOUNTS_MAX:
            if order >= self._order[self._last]:
                return False
            del self._shares[self._last], self._seen[self._last], self._order[self._last]
        self._shares[account], self._seen[account], self._order[account] = [], 0, order
        if len(self._shares) >= ACCOUNTS_MAX:
            self._last = max(self._order, key=self._order.__getitem__)
        return True

    def _hash(self, text: str) -> int:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret[:64])
        return int.from_bytes(digest.digest(), "little")
