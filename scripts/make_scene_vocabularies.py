#!/usr/bin/env python3
"""Writes vocabularies in the published formats for the captions of the emoji world: CLIP's vocab.json and merges.txt, and
BERT's vocab.txt, from the words of weights/emoji-vocabulary.txt (dipp world --vocabulary). Every word is one token.

    scripts/make_scene_vocabularies.py [WORDS [FOLDER]]

CLIP: byte pairs are joined, the most frequent among the words first (of equals the first in order), until every word is one
symbol. The 256 symbols of bytes come twice, inside and at the end of a word, then what the merges make, then
<|startoftext|> and <|endoftext|>. BERT: special words, ASCII's punctuation, letters and digits, these as continuations, the
words without accents. Python's standard library is all it takes."""
import collections
import json
import pathlib
import string
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent


def byte_letters():
    """The letter that stands for each byte in CLIP's files, in the order of their numbers."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def joined(symbols, pair):
    """The symbols with every occurrence of the pair, from the left, made one."""
    result, at = [], 0
    while at < len(symbols):
        both = tuple(symbols[at : at + 2]) == pair
        result.append(symbols[at] + symbols[at + 1] if both else symbols[at])
        at += 1 + both
    return result


def make_merges(words, letters):
    """Merges in order of rank, by which each word becomes one symbol."""
    split = [[letters[byte] for byte in word.encode()] for word in words]
    split = [symbols[:-1] + [symbols[-1] + "</w>"] for symbols in split]
    merges = []
    while any(len(symbols) > 1 for symbols in split):
        pairs = collections.Counter(pair for symbols in split for pair in zip(symbols, symbols[1:]))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = [joined(symbols, best) for symbols in split]
    return merges


def write_clip(words, folder):
    letters = byte_letters()
    merges = make_merges(words, letters)
    names = [*letters.values(), *(letter + "</w>" for letter in letters.values()), *("".join(pair) for pair in merges)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(names)) == len(names)
    vocabulary = {name: number for number, name in enumerate(names)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_bert(words, folder):
    plain = {"".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)) for word in words}
    signs = [*string.digits, *string.ascii_lowercase]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *signs, *("##" + sign for sign in signs)]
    pieces += sorted(plain.difference(pieces))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def main():
    source = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "weights/emoji-vocabulary.txt")
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "weights/emoji-text")
    lines = source.read_text(encoding="utf-8").split()
    words = sorted(word for word in lines if not word.startswith("<"))
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(words, folder)
    write_bert(words, folder)


main()
