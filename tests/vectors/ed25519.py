"""Signs with Ed25519, as RFC 8032 says (section 5.1), for vectors alone: it is slow, and leaks its keys to whoever measures
how long it takes. Nothing else must use it."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def _digest(data):
    return int.from_bytes(hashlib.sha512(data).digest(), "little")


def _add(one, two):
    """Of points (X, Y, Z, T) in extended coordinates."""
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % P, (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _base():
    y = 4 * pow(5, P - 2, P) % P
    squared = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(squared, (P + 3) // 8, P)
    if (x * x - squared) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    return x, y, 1, x * y % P


BASE = _base()


def _encoded(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _expanded(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, digest[32:]


def public(seed):
    return _encoded(_times(_expanded(seed)[0], BASE))


def sign(seed, message):
    scalar, prefix = _expanded(seed)
    key, nonce = public(seed), _digest(prefix + message) % ORDER
    start = _encoded(_times(nonce, BASE))
    challenge = _digest(start + key + message) % ORDER
    return start + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")


def more_than_order(signature):
    """The same signature in another way of writing it, which RFC 8032 refuses."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


# RFC 8032, section 7.1, test 1.
_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
assert public(_SEED).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
assert sign(_SEED, b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555")
