"""Keys, passwords and personal numbers taken out of text: by shape, by the words around them, by sheer randomness."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from experience_db.personal_numbers import mask_personal

SHAPES = (
    ("an OpenAI-style key", r"\bsk-[A-Za-z0-9_*-]{8,}"),
    ("a provider's key", r"\b(?:gsk|hf|xai|pplx|tvly|nvapi|r8|glpat|dop_v1|npm|pypi)[-_][A-Za-z0-9_-]{10,}"),
    ("a Google key", r"\bAIza[\w-]{20,}"),
    ("an AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})"),
    ("a Slack token", r"\bxox[abeoprs]-[\w-]{8,}"),
    ("a signed token", r"\beyJ[\w-]{8,}\.[\w-]{8,}"),
    ("a private key", r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)|\bssh-(?:rsa|ed25519) AAAA\S+"),
    ("a bearer token", r"\bBearer\s+[\w.~+/=-]{12,}"),
    ("a key that was taken out", r"(?<!\S)\*{3}(?=[\s.,;:]|$)"),
    ("a login inside an address", r"[a-z][a-z0-9+.-]{0,30}://[^\s/@:]+:[^\s/@]+@"),
)
NAMED = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|secret|(?:api|access|auth|private|secret)[\s_-]*(?:key|token)|credentials?|PIN)"
    r"\s*(?:is|are|was|:=|=|:)\s*['\"`]?(?P<value>[^\s'\"`,;]{4,})",
    re.IGNORECASE,
)
RUN = re.compile(r"[A-Za-z0-9]{20,}|[A-Za-z0-9+/_-]{36,}={0,2}")
HEX = re.compile(r"(?:0x)?[0-9a-fA-F]{32,}")
SHORTEST = 8
"""Characters from which a known value is taken out wherever it stands."""
RANDOM_BITS = 3.6
"""Bits per character from which a run of letters and digits counts as random; English words stay below 3.3."""

WORDS = re.compile(r"[A-Z]?[a-z]{3,}")
WORDY = 0.7
"""Share of a run in words from which it is a name in a program (`X509CertificateLoader`); in keys it is rare."""

_COMPILED = tuple(re.compile(shape) for _, shape in SHAPES)


def mask(text: str, known: Sequence[str] = ()) -> str:
    """Return `text` with what looks like a key or password, or is a `known` one, written as `[secret]`.

    A known one below SHORTEST stays: it may be a word or a number of any text.
    """
    for secret in sorted((each for each in known if len(each) >= SHORTEST), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    for shape in _COMPILED:
        text = shape.sub("[secret]", text)
    text = mask_personal(text)
    text = NAMED.sub(lambda m: m[0].replace(m["value"], "[secret]") if is_value(m["value"]) else m[0], text)
    return RUN.sub(lambda m: "[secret]" if is_random(m[0]) else m[0], text)


def is_random(run: str) -> bool:
    """Tell whether letters and digits without a space look drawn rather than written."""
    if HEX.fullmatch(run):
        return len(set(run.lower())) > 6
    digits = sum(map(str.isdigit, run))
    mixed = any(map(str.islower, run)) and any(map(str.isupper, run)) and digits > 1
    longest = max(map(len, re.split(r"[-_/]", run)))
    words = sum(map(len, WORDS.findall(run)))
    return mixed and longest >= 16 and words < WORDY * len(run) and entropy_bits(run) >= RANDOM_BITS


def entropy_bits(run: str) -> float:
    """Return the Shannon entropy of a run in bits per character."""
    return -sum(n / len(run) * math.log2(n / len(run)) for n in Counter(run).values())


def is_value(value: str) -> bool:
    """A word of the language follows `the password is` in plain advice; a password has other signs in it."""
    if value.startswith("["):
        return False
    return not value.rstrip(".").replace("-", "").isalpha() or (value.upper() == value and len(value) > 5)
