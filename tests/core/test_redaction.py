"""Secrets are struck out of texts in every usual spelling."""

import base64
import json
import re
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.redaction import SHORTEST, STRUCK_OUT, Redaction

SECRET = 'p4ss "wörd"/+?&é\\x'

FORMS = {
    "plain": SECRET,
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON, not only ASCII": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in JSON": json.dumps(json.dumps({"a": SECRET})),
    "JSON with escaped slashes": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "URL": urllib.parse.quote(SECRET, safe=""),
    "URL path": urllib.parse.quote(SECRET),
    "URL form": urllib.parse.quote_plus(SECRET),
    "URL in small letters": re.sub(
        "%[0-9A-F]{2}", lambda match: match.group().lower(), urllib.parse.quote(SECRET, safe="")
    ),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "base64 in a URL": urllib.parse.quote(base64.b64encode(SECRET.encode()).decode(), safe=""),
    "hexadecimal": SECRET.encode().hex(),
    "HEXADECIMAL": SECRET.encode().hex().upper(),
    "repr": repr({"a": SECRET}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_is_struck_out_in_every_usual_spelling(form: str) -> None:
    redacted = Redaction([SECRET]).text(f"before {form} after")
    assert STRUCK_OUT in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert "p4ss" not in redacted
    assert "cDRzc" not in redacted


@given(secret=st.text(min_size=SHORTEST, max_size=40), user=st.text(max_size=20))
def test_a_basic_auth_header_hides_its_password_whatever_the_user(secret: str, user: str) -> None:
    """Fails when only one of the three ways to lie in a base64 text is struck out."""
    before = f"{user}:".encode("utf-8", "surrogatepass")
    header = base64.b64encode(before + secret.encode("utf-8", "surrogatepass")).decode()
    redacted = Redaction([secret]).text(header)
    assert STRUCK_OUT in redacted
    # What is left is the user, and at either end a character or two that hold bits of the secret.
    left = len(redacted.replace(STRUCK_OUT, ""))
    assert left <= len(base64.b64encode(before)) + 4


@given(st.text(min_size=SHORTEST, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    redacted = Redaction([secret]).text(before + secret + after)
    # It may be part of what stands in its place.
    assert secret not in redacted or secret in STRUCK_OUT


def test_each_line_of_a_secret_with_several_is_struck_out() -> None:
    secret = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    redaction = Redaction([secret])
    assert redaction.text("MIIEvQIBADANBg") == STRUCK_OUT
    assert redaction.text("kqhkiG9w0BAQEF\r") == f"{STRUCK_OUT}\r"


def test_json_is_redacted_in_its_keys_and_at_any_depth() -> None:
    redaction = Redaction(["hunter22"])
    assert redaction.json({"hunter22": [1, {"a": "x hunter22 y"}, None, True]}) == {
        STRUCK_OUT: [1, {"a": f"x {STRUCK_OUT} y"}, None, True]
    }


def test_secrets_may_be_learnt_later() -> None:
    redaction = Redaction()
    assert not redaction
    assert redaction.text("token-12345") == "token-12345"
    redaction.add("token-12345")
    assert redaction
    assert redaction.text("token-12345") == STRUCK_OUT


def test_of_two_secrets_where_one_begins_the_other_both_go() -> None:
    redaction = Redaction(["abcdef", "abcdefghi"])
    assert redaction.text("abcdefghi abcdef") == f"{STRUCK_OUT} {STRUCK_OUT}"
