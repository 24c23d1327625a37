"""Ways to spoil a safetensors file: what disks, networks, other programs and ill will do to one."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

JUNK = [
    None,
    True,
    0,
    -1,
    1,
    2,
    3,
    2**31,
    2**63,
    10**300,
    0.5,
    1e999,
    float("nan"),
    "",
    "F32",
    "I32",
    "x",
    [],
    {},
]


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def lengthened(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randint(1, 64))


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits, anywhere or in the header alone."""
    spoilt = bytearray(content)
    end = rng.choice([8, 8 + int.from_bytes(content[:8], "little"), len(content)])
    for _ in range(rng.randint(1, 8)):
        spoilt[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def overwritten(content: bytes, rng: random.Random) -> bytes:
    """Zeros or noise over a stretch, as a lost disk block leaves."""
    start, length = rng.randrange(len(content)), rng.randint(1, 600)
    piece = content[start : start + length]
    return (
        content[:start]
        + rng.choice([bytes(len(piece)), rng.randbytes(len(piece))])
        + content[start + length :]
    )


def moved(content: bytes, rng: random.Random) -> bytes:
    """Take a stretch out, repeat it, or put it elsewhere."""
    a, b, c = sorted(rng.randrange(len(content)) for _ in range(3))
    return rng.choice(
        [
            content[:a] + content[b:],
            content[:b] + content[a:],
            content[:a] + content[b:c] + content[a:b] + content[c:],
        ]
    )


def length_changed(content: bytes, rng: random.Random) -> bytes:
    """Claim another length of the header, up to all that 8 bytes can say."""
    true = int.from_bytes(content[:8], "little")
    claimed = rng.choice(
        [0, 1, true - 1, true + 1, len(content), 10**8, 2**40, 2**63, 2**64 - 1, rng.getrandbits(64)]
    )
    return claimed.to_bytes(8, "little") + content[8:]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a tree of JSON with each of its keys or indices."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


def reworded(content: bytes, rng: random.Random) -> bytes:
    """Change one place of the header, or of the manifest in it, to something that is JSON still."""
    header, data = split(content)
    inside = rng.random() < 0.3
    tree = json.loads(header["__metadata__"]["minidl"]) if inside else header
    node, key = rng.choice(list(places(tree)))
    change = rng.randrange(4)
    if change == 0:
        del node[key]
    elif change == 1:
        node[key] = rng.choice(JUNK)
    elif change == 2 and type(node[key]) is int:
        node[key] += rng.choice([-1, 1, 4, -(10**6), 10**18])
    elif isinstance(node, dict):
        node[rng.choice(["", "x", "dtype", "sha256", key + "2"])] = (
            node[key] if change == 2 else node.pop(key)
        )
    else:
        node.append(node[key])
    if inside:
        header["__metadata__"]["minidl"] = json.dumps(tree)
    return joined(header, data)


def exchanged(content: bytes, rng: random.Random) -> bytes:
    """Give two tensors each other's dtype, shape, or place, or both the same."""
    header, data = split(content)
    names = [name for name in header if name != "__metadata__"]
    a, b = rng.sample(names, 2)
    field = rng.choice(["dtype", "shape", "data_offsets"])
    header[a][field], header[b][field] = header[b][field], rng.choice([header[a][field], header[b][field]])
    return joined(header, data)


def duplicated(content: bytes, rng: random.Random) -> bytes:
    """Say a name of the header twice, which JSON parsers pass over in silence."""
    header, data = split(content)
    name = rng.choice(list(header))
    again = json.dumps({name: header[name]})[1:-1]
    return joined(json.dumps(header)[:-1].encode() + b", " + again.encode() + b"}", data)


def foreign(content: bytes, rng: random.Random) -> bytes:
    """Other formats, nothing at all, noise, and headers made to exhaust a parser."""
    noise = rng.randbytes(rng.randrange(2000))
    return rng.choice(
        [
            b"",
            noise,
            b"\x80\x04\x95" + noise,
            b"\x93NUMPY\x01\x00" + noise,
            b"PK\x03\x04" + noise,
            joined(b"[" * 50_000, b""),
            joined(b'{"a":' * 20_000, b""),
            joined(
                b'{"x": {"dtype": "F32", "shape": [' + b"9" * 4000 + b'], "data_offsets": [0, 4]}}', bytes(4)
            ),
            joined({"x": {"dtype": "F32", "shape": [2**62] * 9000, "data_offsets": [0, 4]}}, bytes(4)),
            joined({"x": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, b""),
            joined({"x": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, bytes(4)),
            joined({"__metadata__": {"minidl": "[" * 50_000}}, b""),
            joined(noise, noise),
        ]
    )


WAYS: list[Callable[[bytes, random.Random], bytes]] = [
    cut,
    lengthened,
    flipped,
    overwritten,
    moved,
    length_changed,
    reworded,
    exchanged,
    duplicated,
    foreign,
]
