"""Sums byte by byte, of the linear model and of letters: the same as by arrays, for short texts where this is compiled.

A call of numpy costs as much as a hundred bytes cost here, so that compiled this takes a third of the time for a kilobyte.
Not compiled it would take fifty times as long, and is not used.  Its numbers are those of `grams` and `shuffled`, written
out so that they are native; products of 64 bits wrap, which CPython has its compilers see to (-fwrapv), and the low 32
bits are right all the same.  A test holds both ways to the same sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64

MOST_STRAIGHT = 0 if __file__.endswith(".py") else 3000
"""Bytes up to which a text is taken byte by byte: what is longer, and all where this is not compiled, by arrays."""

CELL = 10
"""Bytes: a window begins and ends at a multiple of them, or ends with the text."""


class Table:
    """What was learnt, as bytes: the weights, signed; the kinds of words, by their hashes; which bytes belong to words."""

    def __init__(self, weights: bytes, kinds: bytes, is_word: bytes) -> None:
        """Take the three tables of `grams` and `scorer`."""
        self.weights, self.kinds, self.is_word = weights, kinds, is_word

    def weigh(self, slot: i64) -> i64:
        """Return the weight of one feature."""
        weight: i64 = self.weights[slot]
        return weight - ((weight & 128) << 1)


class Sums:
    """What the features weigh that start in each cell of a text; and before each of the two windows at its end."""

    def __init__(self, size: int, windows: tuple[int, int]) -> None:
        """Begin with nothing."""
        self.size = size
        self.cells = [0] * (size // CELL + 2)  # the first stays empty: they are added up to what starts before each
        self.wide, self.narrow = windows
        self.first: i64 = max(size - self.wide, 0)
        self.second: i64 = max(size - self.narrow, 0)
        self.before_first: i64 = 0
        self.before_second: i64 = 0
        self.total = 0

    def add(self, start: i64, weight: i64) -> None:
        """Count what starts at a byte."""
        self.cells[start // CELL + 1] += weight
        self.total += weight
        if start < self.first:
            self.before_first += weight
        if start < self.second:
            self.before_second += weight

    def add_up(self) -> None:
        """Turn what starts in each cell into what starts before it."""
        upto: i64 = 0
        for number in range(len(self.cells)):
            upto += self.cells[number]
            self.cells[number] = upto

    def find_worst(self, window: int, step: int) -> tuple[int, int]:
        """Return where the window ends that weighs most, and what: the first of several."""
        cells = self.cells
        worst, worst_end = cells[window // CELL], window
        end = window + step
        while end <= self.size:
            weight = cells[end // CELL] - cells[(end - window) // CELL]
            if weight > worst:
                worst, worst_end = weight, end
            end += step
        last = self.total - (self.before_first if window == self.wide else self.before_second)
        return (self.size, last) if last > worst else (worst_end, worst)


def sum_all(raw: bytes, table: Table, windows: tuple[int, int]) -> Sums:
    """Return the sums of folded text, of no less than five bytes and with a space at either end."""
    sums = Sums(len(raw), windows)
    _add_runs(raw, table, sums)
    starts, words = _hash_words(raw, table)
    _add_kin(starts, words, table, sums)
    starts, names = _name_kinds(starts, words, table)
    _add_kin(starts, names, table, sums)
    sums.add_up()
    return sums


def _add_runs(raw: bytes, table: Table, sums: Sums) -> None:
    mask: i64 = 0xFFFFFFFF
    base: i64 = 0x01000193
    size: i64 = len(raw)
    a: i64 = raw[0]
    b: i64 = raw[1]
    c: i64 = raw[2]
    d: i64 = raw[3]
    first: i64 = sums.first
    second: i64 = sums.second
    cell: i64 = CELL
    weights = table.weights
    total: i64 = 0
    counted: i64 = 0  # of the total, what stands in a cell
    start: i64 = 0
    while start < size - 3:
        if start % cell == 0:
            sums.cells[start // cell] += total - counted
            counted = total
        if start == first:
            sums.before_first = total
        if start == second:
            sums.before_second = total
        run: i64 = (((a * base + b) * base + c) * base + d) & mask
        weight: i64 = weights[((run * 0x85EBCA6B) & mask) >> 13]
        total += weight - ((weight & 128) << 1)
        if start < size - 4:
            e: i64 = raw[start + 4]
            run = (run * base + e) & mask
            weight = weights[((run * 0xC2B2AE35) & mask) >> 13]
            total += weight - ((weight & 128) << 1)
            a = b
            b = c
            c = d
            d = e
        start += 1
    sums.cells[(start - 1) // cell + 1] += total - counted
    sums.total = total


def _hash_words(raw: bytes, table: Table) -> tuple[list[int], list[int]]:
    """Return where words start, and their hashes."""
    mask: i64 = 0xFFFFFFFF
    starts: list[int] = []
    words: list[int] = []
    is_word = table.is_word
    size: i64 = len(raw)
    at: i64 = 0
    while at < size:
        code: i64 = raw[at]
        if not is_word[code]:
            at += 1
            continue
        starts.append(at)
        word: i64 = 0
        power: i64 = 1
        while is_word[code]:  # a space ends the text
            word = (word + code * power) & mask
            power = (power * 0x01000193) & mask
            at += 1
            code = raw[at]
        word = (word * 0x9E3779B1) & mask
        words.append(word ^ (word >> 15))
    return starts, words


def _name_kinds(starts: list[int], words: list[int], table: Table) -> tuple[list[int], list[int]]:
    """Return where words of a known kind start, and a number for the kind of each and whether it stands far."""
    mask: i64 = 0xFFFFFFFF
    kinds = table.kinds
    known: list[int] = []
    names: list[int] = []
    before: i64 = 0
    place: i64 = 0
    for word in words:
        kind: i64 = kinds[word >> 14]
        if kind:
            if known and place - before > 3:
                kind += 256
            kind = (kind * 0x7FEB352D) & mask
            names.append(kind ^ (kind >> 15))
            known.append(starts[place])
            before = place
        place += 1  # noqa: SIM113  a native number
    return known, names


def _add_kin(starts: list[int], words: list[int], table: Table, sums: Sums) -> None:
    """Add words one by one, in pairs, in threes, and in pairs with one left out; each where its first word starts."""
    mask: i64 = 0xFFFFFFFF
    count: i64 = len(words)
    at: i64 = 0
    one: i64 = 0
    two: i64 = 0
    three: i64 = 0
    if count > 0:
        word: i64 = words[0]
        two = (word * 0x9E3779B1) & mask
    if count > 1:
        word = words[1]
        three = (word * 0x9E3779B1) & mask
    while at < count:
        one = two
        two = three
        weight = table.weigh(one >> 13)
        if at + 1 < count:
            pair: i64 = (one * 0x27D4EB2F + two) & mask
            weight += table.weigh(pair >> 13)
            if at + 2 < count:
                word = words[at + 2]
                three = (word * 0x9E3779B1) & mask
                weight += table.weigh(((pair * 0x165667B1 + three) & mask) >> 13)
                weight += table.weigh(((one * 0x5BD1E995 + three) & mask) >> 13)
        sums.add(starts[at], weight)
        at += 1


class Letters:
    """Numbers of letters, zero for what is none; and the slots of key words in any order of their inner letters."""

    def __init__(self, numbers: list[int], is_key: bytes) -> None:
        """Take the two tables of `shuffled`."""
        self.numbers, self.is_key = numbers, is_key


def find_likely(raw: bytes, letters: Letters) -> tuple[list[int], list[int]]:
    """Return where words start, and where their last letters stand, that may be key words in another order."""
    mask: i64 = 0xFFFFFFFF
    starts: list[int] = []
    ends: list[int] = []
    numbers, is_key = letters.numbers, letters.is_key
    size: i64 = len(raw)
    at: i64 = 0
    total: i64 = 0
    before: i64 = 0  # the letter before, zero where it is none
    start: i64 = 0
    while at < size:
        code: i64 = raw[at]
        letter: i64 = numbers[code]
        if letter:
            if not before:
                start = at
                total = letter * 0x85EBCA6B
            total += letter
        elif before:
            total = (total + before * 0xC2B2AE35) & mask
            if is_key[((total * 0x9E3779B1) & mask) >> 14]:
                starts.append(start)
                ends.append(at - 1)
        before = letter
        at += 1
    return starts, ends
