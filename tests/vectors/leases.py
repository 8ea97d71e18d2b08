"""Signed leases, for `leases.json`: what a verifier says to good ones, bad ones, and those who set clocks.

The keys are made for these vectors, from texts that stand here. They sign nothing else, and protect nothing."""

import base64
import hashlib
import hmac
import json

import ed25519

NOW = 1795435200  # 2026-11-23T12:00:00Z
HOUR, DAY, SKEW = 3600, 86400, 60
TENANT, OTHER = (f"00000000-0000-4000-8000-{number:012d}" for number in (1, 2))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def seed(name):
    return hashlib.sha256(f"a key for the vectors of leases, and for nothing else: {name}".encode()).digest()


def jwk(name, **changes):
    x = b64(ed25519.public(seed(name)))
    member = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": name, "x": x, **changes}
    return {key: value for key, value in member.items() if value is not None}


def jwks(*members):
    return {"keys": [jwk(member) if isinstance(member, str) else member for member in members]}


FIRST = jwks("first")


def claims(**changes):
    said = {
        "iss": "entitlementd", "sub": TENANT, "iat": NOW, "nbf": NOW, "exp": NOW + DAY, "revision": 7, "as_of": NOW - 5,
        "asked": ["finance", "hrms", "crm"], "modules": {"finance": NOW + DAY, "hrms": NOW + HOUR},
        "features": {
            "finance": {
                "export": {"on": True, "value": "csv"}, "rows": {"on": True, "value": 9007199254740993},
                "plain": {"on": True}, "beta": {"on": False}, "many": {"on": True, "value": {"a": [1, 2.5, None, "é"]}},
            },
            "hrms": {"export": {"on": True, "value": True}},
            "crm": {"export": {"on": False}},
        },
        **changes,
    }
    return {key: value for key, value in said.items() if value is not None}


def header(**changes):
    said = {"alg": "EdDSA", "kid": "first", "typ": "entitlement-lease+jwt", **changes}
    return {key: value for key, value in said.items() if value is not None}


def text(value):
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def lease(said=None, head=None, key="first"):
    signed = f"{b64(text(header() if head is None else head))}.{b64(text(claims() if said is None else said))}"
    return f"{signed}.{b64(ed25519.sign(seed(key), signed.encode()))}"


GOOD = lease()


def case(name, *steps, keys=FIRST, wall=NOW + 10, **settings):
    """A verifier is made when the clock shows `wall`."""
    return {"name": name, "keys": keys, "wall": wall, **settings, "steps": list(steps)}


def verify(token, word, at=NOW + 10, mono=None, tenant=TENANT, name="lease"):
    step = {"verify": token, "tenant": tenant, "as": name, "wall": at, "is": word}
    return step if mono is None else {**step, "mono": mono}


def allows(module, word, at=NOW + 10, mono=None, name="lease"):
    step = {"allows": module, "by": name, "wall": at, "is": word}
    return step if mono is None else {**step, "mono": mono}


def feature(module, key, word, value=None, at=NOW + 10):
    return {"feature": [module, key], "by": "lease", "wall": at, "is": word, "value": value}


def refused(name, token, word, **settings):
    return case(name, verify(token, word), **settings)


def contents():
    yield case(
        "what a lease grants, denies, and does not say", verify(GOOD, "GOOD"), allows("finance", "GRANTED"),
        allows("hrms", "GRANTED"), allows("crm", "DENIED"), allows("wms", "NOT_ASKED_FOR"), allows("", "NOT_ASKED_FOR"),
        allows("Finance", "NOT_ASKED_FOR"),
    )
    yield case(
        "features and their values", verify(GOOD, "GOOD"), feature("finance", "export", "GRANTED", "csv"),
        feature("finance", "rows", "GRANTED", 9007199254740993), feature("finance", "plain", "GRANTED"),
        feature("finance", "many", "GRANTED", {"a": [1, 2.5, None, "é"]}), feature("finance", "beta", "OFF"),
        feature("finance", "nothing", "NOT_ASKED_FOR"), feature("hrms", "export", "GRANTED", True),
        feature("crm", "export", "DENIED"), feature("wms", "export", "NOT_ASKED_FOR"),
        feature("hrms", "export", "ENDED", at=NOW + HOUR + SKEW),
    )
    yield case(
        "where all modules were asked for, one that is not there is denied",
        verify(lease(claims(asked="*", features=None)), "GOOD"), allows("finance", "GRANTED"), allows("wms", "DENIED"),
        feature("finance", "export", "NOT_ASKED_FOR"), feature("wms", "export", "DENIED"),
    )
    yield case(
        "a lease may grant nothing", verify(lease(claims(modules={}, features=None)), "GOOD"), allows("finance", "DENIED"),
        allows("wms", "NOT_ASKED_FOR"),
    )
    yield case(
        "claims and members that nobody knows are passed over",
        verify(lease(claims(new={"x": 1}), header(new=1, jku="https://attacker.example", jwk=jwk("second"))), "GOOD"),
    )


def times():
    end, hrms = NOW + DAY, NOW + HOUR
    yield case("it is good until its end", verify(GOOD, "GOOD", end - 1), allows("finance", "GRANTED", end - 1), wall=end - 1)
    yield case(
        "clocks may be apart by the skew, and no more", verify(GOOD, "GOOD", end + SKEW - 1),
        allows("finance", "GRANTED", end + SKEW - 1), verify(GOOD, "EXPIRED", end + SKEW), wall=end + SKEW - 1,
    )
    yield case("it has expired", verify(GOOD, "EXPIRED", end + DAY), wall=end + DAY)
    yield case("without skew it ends on time", verify(GOOD, "GOOD", end - 1), verify(GOOD, "EXPIRED", end), wall=end - 1, skew=0)
    yield case(
        "one that is kept ends by itself", verify(GOOD, "GOOD"), allows("finance", "GRANTED", end + SKEW - 1),
        allows("finance", "EXPIRED", end + SKEW), feature("finance", "export", "EXPIRED", at=end + SKEW),
        allows("wms", "EXPIRED", end + SKEW),
    )
    yield case(
        "a module may end before the lease", verify(GOOD, "GOOD"), allows("hrms", "GRANTED", hrms + SKEW - 1),
        allows("hrms", "ENDED", hrms + SKEW), allows("finance", "GRANTED", hrms + SKEW),
    )
    yield case("a clock may be behind by the skew", verify(GOOD, "GOOD", NOW - SKEW), wall=NOW - SKEW)
    yield case(
        "a clock that is further behind refuses it, and is told", verify(GOOD, "NOT_YET_VALID", NOW - SKEW - 1),
        {"latest": None}, verify(GOOD, "GOOD", NOW), wall=NOW - SKEW - 1,
    )
    later = lease(claims(nbf=NOW + 2 * HOUR))
    yield case(
        "it begins later", verify(later, "NOT_YET_VALID"), verify(later, "GOOD", NOW + 2 * HOUR - SKEW),
        allows("finance", "GRANTED", NOW + 2 * HOUR - SKEW),
    )
    yield case("it was issued later than now", verify(lease(claims(iat=NOW + 2 * HOUR)), "NOT_YET_VALID"))


def clocks():
    end = NOW + DAY
    yield case(
        "set back, the clock is not believed: what has ended stays ended", verify(GOOD, "GOOD", mono=0),
        allows("finance", "GRANTED", NOW + HOUR, HOUR), allows("hrms", "ENDED", NOW + 2 * HOUR, 2 * HOUR),
        allows("hrms", "CLOCK_SET_BACK", NOW + 10, 2 * HOUR + 5), allows("finance", "GRANTED", NOW + 10, 2 * HOUR + 5),
    )
    yield case(
        "set back each hour, a lease ends when it would have ended", verify(GOOD, "GOOD", NOW + 10, 0),
        allows("finance", "GRANTED", NOW + 10, 12 * HOUR), allows("finance", "GRANTED", NOW + 10, DAY - 10 + SKEW - 1),
        allows("finance", "CLOCK_SET_BACK", NOW + 10, DAY - 10 + SKEW), verify(GOOD, "CLOCK_SET_BACK", NOW + 10, DAY - 10 + SKEW),
    )
    yield case(
        "what was found to have expired stays expired", verify(GOOD, "EXPIRED", end + DAY, 0),
        verify(GOOD, "CLOCK_SET_BACK", NOW + 10, 1), wall=end + DAY,
    )
    yield case(
        "set back between the beginning and the first lease", verify(GOOD, "CLOCK_SET_BACK", NOW + 10, 1), wall=end + DAY,
    )
    newer = lease(claims(iat=end, nbf=end, exp=end + DAY, modules={"finance": end + DAY}))
    yield case(
        "the date of a newer lease is known, whatever the clock says", verify(GOOD, "GOOD", NOW + 10, 0),
        verify(newer, "GOOD", end + 10, 1, name="newer"), verify(GOOD, "CLOCK_SET_BACK", NOW + 10, 100),
        {"latest": NOW + DAY + 10 + 99, "wall": NOW + 10, "mono": 100},
    )
    yield case(
        "started again with the clock set back: what was kept counts", verify(GOOD, "CLOCK_SET_BACK", NOW + 10, 0),
        latest=end + SKEW,
    )
    yield case(
        "started again with the clock set back, a part of the lease has passed", verify(GOOD, "GOOD", NOW + 10, 0),
        allows("hrms", "CLOCK_SET_BACK", NOW + 10, 0), allows("finance", "GRANTED", NOW + 10, 4 * HOUR + SKEW - 1),
        allows("finance", "CLOCK_SET_BACK", NOW + 10, 4 * HOUR + SKEW), latest=end - 4 * HOUR,
    )
    yield case(
        "what is kept grows with the leases and the time, and no clock set ahead makes it grow further",
        {"latest": None, "wall": NOW + 10, "mono": 0}, verify(GOOD, "GOOD", NOW + 10, 0),
        {"latest": NOW + 10, "wall": NOW + 10, "mono": 0}, {"latest": NOW + 40, "wall": NOW - DAY, "mono": 30},
        allows("finance", "GRANTED", NOW + HOUR, 30), {"latest": NOW + HOUR, "wall": NOW + HOUR, "mono": 30},
        allows("finance", "EXPIRED", NOW + 5000 * DAY, 40), {"latest": end + SKEW, "wall": NOW, "mono": 40},
        verify(newer, "GOOD", NOW + DAY + 200, 50, name="newer"),
        allows("finance", "GRANTED", NOW + DAY + 200, 50, name="newer"),
    )
    yield case(
        "a monotonic clock that begins anew moves nothing back", verify(GOOD, "GOOD", NOW + HOUR, HOUR),
        allows("finance", "GRANTED", NOW, 0), {"latest": NOW + HOUR + 10, "wall": NOW, "mono": 0},
    )


def keys():
    both, second = jwks("second", "first"), lease(head=header(kid="second"), key="second")
    yield refused("a key that nobody has published", lease(key="second", head=header(kid="second")), "UNKNOWN_KEY")
    yield refused("no key is named", lease(head=header(kid=None)), "UNKNOWN_KEY")
    yield refused("the key's name is no text", lease(head=header(kid=["first"])), "UNKNOWN_KEY")
    yield refused("another key has signed it", lease(key="second"), "BAD_SIGNATURE")
    yield refused("the other of two keys has signed it", lease(key="second"), "BAD_SIGNATURE", keys=both)
    yield case(
        "keys are rotated: the new one is known before it signs, the old one as long as its leases last",
        verify(GOOD, "GOOD"), verify(second, "UNKNOWN_KEY"), {"keys": both, "is": "TAKEN"}, verify(second, "GOOD"),
        verify(GOOD, "GOOD"), {"keys": jwks("second"), "is": "TAKEN"}, verify(second, "GOOD"), verify(GOOD, "UNKNOWN_KEY"),
        allows("finance", "GRANTED"),
    )
    bad = [
        ("nothing", {}), ("no list", {"keys": {}}), ("an empty list", jwks()),
        ("a shared secret", jwks({"kty": "oct", "kid": "first", "k": "c2VjcmV0"})),
        ("a key for something else", jwks(jwk("first", use="enc"))), ("a key for nothing", jwks(jwk("first", key_ops=["sign"]))),
        ("a key of another curve", jwks(jwk("first", crv="X25519"))), ("a key for another algorithm", jwks(jwk("first", alg="ES256"))),
        ("a key without a name", jwks(jwk("first", kid=None))), ("a key that is too short", jwks(jwk("first", x=b64(b"short")))),
        ("a private key", jwks("first", jwk("second", d=b64(seed("second"))))), ("two of one name", jwks("first", jwk("second", kid="first"))),
    ]
    yield case("a set that cannot be used changes nothing", *({"keys": set_, "is": "REFUSED"} for _, set_ in bad), verify(GOOD, "GOOD"))
    for name, set_ in bad:
        yield case(f"no verifier is made of {name}", keys=set_, refused=True)
    foreign = [{"kty": "RSA", "kid": "first", "n": "AQAB", "e": "AQAB"}, "text", 7, jwk("other", x="?"), jwk("first", use=None, alg="Ed25519", key_ops=["verify"])]
    yield case("other members of a set are passed over", verify(GOOD, "GOOD"), keys=jwks(*foreign))


def forgeries():
    point, first = ed25519.public(seed("first")), jwk("first")
    signed, signature = GOOD.rsplit(".", 1)

    def by_secret(secret, **changes):
        said = f"{b64(text(header(**changes)))}.{b64(text(claims()))}"
        return f"{said}.{b64(hmac.new(secret, said.encode(), hashlib.sha256).digest())}"

    none = f"{b64(text(header(alg='none')))}.{b64(text(claims()))}."
    yield refused("algorithm none", none, "WRONG_ALGORITHM")
    yield refused("algorithm None", none.replace(b64(text(header(alg="none"))), b64(text(header(alg="None")))), "WRONG_ALGORITHM")
    for name, secret in ("the key", point), ("the key as text", first["x"].encode()), ("the set", text(FIRST)):
        yield refused(f"{name} as a shared secret", by_secret(secret, alg="HS256"), "WRONG_ALGORITHM")
    yield refused("a shared secret that says EdDSA", by_secret(point), "BAD_SIGNATURE")
    yield refused("no algorithm", lease(head=header(alg=None)), "WRONG_ALGORITHM")
    yield refused("another algorithm", lease(head=header(alg="ES256")), "WRONG_ALGORITHM")
    yield refused("an algorithm that is no text", lease(head=header(alg=["EdDSA"])), "WRONG_ALGORITHM")
    for typ in "JWT", "at+jwt", "entitlement-lease", "Entitlement-Lease+JWT", None, 7:
        yield refused(f"type {typ}", lease(head=header(typ=typ)), "WRONG_TYPE")
    yield refused("an extension that must be understood", lease(head=header(crit=["b64"], b64=False)), "MALFORMED")
    tampered = b64(text(claims(exp=NOW + 365 * DAY)))
    yield refused("a longer end", f"{signed.split('.')[0]}.{tampered}.{signature}", "BAD_SIGNATURE")
    yield refused("another header", f"{b64(text(header(x=1)))}.{signed.split('.')[1]}.{signature}", "BAD_SIGNATURE")
    yield refused("no signature", f"{signed}.", "BAD_SIGNATURE")
    yield refused("a signature of zeros", f"{signed}.{b64(bytes(64))}", "BAD_SIGNATURE")
    yield refused("half a signature", f"{signed}.{b64(bytes(32))}", "BAD_SIGNATURE")
    decoded = base64.urlsafe_b64decode(signature + "==")
    yield refused("a signature written in another way", f"{signed}.{b64(ed25519.more_than_order(decoded))}", "BAD_SIGNATURE")


def malformed():
    head, payload, signature = GOOD.split(".")
    other = chr(ord(signature[-1]) + 1)
    for name, token in {
        "nothing": "", "a word": "lease", "two parts": f"{head}.{payload}", "four parts": f"{GOOD}.x", "five parts": f"{GOOD}..",
        "JSON": json.dumps({"payload": payload}), "a blank at the end": f"{GOOD} ", "a line break at the end": f"{GOOD}\n",
        "a scheme before it": f"Bearer {GOOD}", "padding": f"{head}==.{payload}.{signature}",
        "letters of the other base64": f"+/+/.{payload}.{signature}", "a line break within": f"{head[:4]}\n{head[4:]}.{payload}.{signature}",
        "a signature with other bits at its end": f"{head}.{payload}.{signature[:-1]}{other}", "a letter that is none": f"{head}é.{payload}.{signature}", "such a letter among the claims": f"{head}.{payload}é.{signature}",
        "a header that is no JSON": f"{b64(b'x')}.{payload}.{signature}", "a header that is a list": f"{b64(b'[]')}.{payload}.{signature}",
        "an empty header": f".{payload}.{signature}", "a header that is no UTF-8": f"{b64(bytes([0x7b, 0xff]))}.{payload}.{signature}",
        "a header as deep as an abyss": f"{b64(b'[' * 8000)}.{payload}.{signature}",
        "an algorithm twice": lease(head='{"alg":"none","alg":"EdDSA","kid":"first","typ":"entitlement-lease+jwt"}'),
    }.items():
        yield refused(name, token, "MALFORMED")
    yield refused("a header with nothing in it", f"{b64(b'{}')}.{payload}.{signature}", "WRONG_ALGORITHM")
    yield refused("more than any lease has", lease(claims(more="x" * 32768)), "TOO_LARGE")
    yield refused("one byte more than any lease has", "x" * 32769, "TOO_LARGE")
    yield refused("as much as a lease may have, and none", "x" * 32768, "MALFORMED")
    twice = text(claims()).decode()
    for name, said in {
        "an end twice": f'{twice[:-1]},"exp":{NOW + 365 * DAY}}}', "a module twice": twice.replace('"modules":{', f'"modules":{{"finance":{NOW},'),
        "a tenant twice, once by another spelling": f'{twice[:-1]},"s\\u0075b":"{OTHER}"}}',
        "a name twice where nobody looks": f'{twice[:-1]},"new":{{"a":1,"a":2}}}}', "claims that are a list": "[]", "claims that are no JSON": "x",
        "a number that is none": f'{twice[:-1]},"new":NaN}}', "more after the claims": f"{twice}x",
    }.items():
        yield refused(name, lease(said), "MALFORMED")


def bad_claims():
    for name in "iss", "sub", "iat", "nbf", "exp", "revision", "as_of", "asked", "modules":
        yield refused(f"without {name}", lease(claims(**{name: None})), "BAD_CLAIM")
    for name, values in {
        "iss": [7], "sub": [7, "x", TENANT.replace("-", ""), "{" + TENANT[:-2] + "}"], "aud": [7, ["till-7"]],
        "iat": ["1", 1.5, True, -1, 1e3], "nbf": [None, [NOW]][1:], "exp": [str(NOW), NOW + 0.5, 253402300800, 10**30],
        "revision": [-1, "7", 1.0, 2**64], "as_of": ["x"], "asked": ["", "finance", 7, [7], {}], "modules": [[], {"finance": None}, {"finance": "x"}, {"finance": True}],
        "features": [[], {"finance": []}, {"finance": {"x": True}}, {"finance": {"x": {}}}, {"finance": {"x": {"on": 1}}}],
    }.items():
        for value in values:
            yield refused(f"{name}: {json.dumps(value)}", lease(claims(**{name: value})), "BAD_CLAIM")
    yield refused("another issuer", lease(claims(iss="another")), "WRONG_ISSUER")
    yield refused("the issuer in capitals", lease(claims(iss="Entitlementd")), "WRONG_ISSUER")
    yield case("an issuer of its own", verify(lease(claims(iss="erp")), "GOOD"), verify(GOOD, "WRONG_ISSUER"), issuer="erp")
    yield case("another tenant", verify(GOOD, "WRONG_TENANT", tenant=OTHER), verify(lease(claims(sub=OTHER)), "WRONG_TENANT"))
    yield case("a tenant's id in capitals", verify(lease(claims(sub=TENANT.upper())), "GOOD"))
    for_till = lease(claims(aud="till-7"))
    yield case(
        "only whom it is for takes it", verify(for_till, "GOOD"), verify(lease(claims(aud="till-8")), "WRONG_AUDIENCE"),
        verify(GOOD, "WRONG_AUDIENCE"), audience="till-7",
    )
    yield refused("nobody takes what is for somebody", for_till, "WRONG_AUDIENCE")
    yield case(
        "what is refused says nothing about the time", verify(lease(claims(sub=OTHER, iat=NOW, exp=NOW + 9 * DAY)), "WRONG_TENANT"),
        verify(lease(key="second"), "BAD_SIGNATURE"), {"latest": None},
    )


def named():
    return [case for part in (contents, times, clocks, keys, forgeries, malformed, bad_claims) for case in part()]
