"""People come with tokens that an identity provider has signed."""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
import pytest_asyncio
import websockets

from app.services import access, single_sign_on
from tests.schema.api import ERRORS, JOB_CREATE, Api, running_api
from tests.schema.identity_provider import AUDIENCE, IdentityProvider, running_provider

VIEWER = "{ viewer { role actor { kind id name } project { key } } }"
PROJECT_CREATE = f"""mutation($input: ProjectInput!) {{
    projectCreate(input: $input) {{ project {{ key }} {ERRORS} }} }}"""
GRANTS = (
    "engineers=default:EDITOR",
    "engineers=other:VIEWER",
    "guests=other:VIEWER",
    "operators=*:OPERATOR",
    "admins=*:ADMIN",
)


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    """Run an identity provider."""
    async with running_provider() as running:
        yield running


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str, provider: IdentityProvider) -> AsyncIterator[Api]:
    """Run a server that trusts the provider, with two projects."""
    async with running_api(
        database_url,
        redis_url,
        jwt_issuer=provider.issuer,
        jwt_audience=AUDIENCE,
        jwt_grants=GRANTS,
    ) as client:
        await client.data(PROJECT_CREATE, input={"key": "other", "name": "Other"})
        yield client


async def viewer(api: Api, token: str, project: str | None = None) -> dict[str, Any]:
    """Return who somebody is."""
    api.token = token
    headers = {} if project is None else {"X-Tickwheel-Project": project}
    answer = await api.ask(VIEWER, headers=headers)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["viewer"]
    return found


async def refusal(api: Api, token: str, project: str | None = None) -> dict[str, Any]:
    """Return why somebody is turned away."""
    api.token = token
    headers = {} if project is None else {"X-Tickwheel-Project": project}
    [error] = (await api.ask(VIEWER, headers=headers))["errors"]
    found: dict[str, Any] = error
    return found


async def test_person_acts_by_its_groups(api: Api, provider: IdentityProvider) -> None:
    assert await viewer(api, provider.token()) == {
        "role": "EDITOR",
        "actor": {"kind": "USER", "id": "user-7", "name": "Ada"},
        "project": {"key": "default"},
    }
    assert (await viewer(api, provider.token(), "other"))["role"] == "VIEWER"
    # The only project somebody has need not be named.
    guest = provider.token(groups=["guests"], sub="guest")
    assert (await viewer(api, guest))["project"] == {"key": "other"}
    # The highest role counts, from wherever it comes.
    both = provider.token(groups=["guests", "operators"])
    assert (await viewer(api, both, "other"))["role"] == "OPERATOR"
    assert (await viewer(api, provider.token(groups=["admins"]), "other"))["role"] == "ADMIN"


async def test_what_a_person_does_is_recorded_under_its_name(
    api: Api, provider: IdentityProvider
) -> None:
    api.token = provider.token()
    await api.create_job("by-ada")
    api.token = provider.token(groups=["admins"], sub="root", name=None)
    [entry] = (await api.data("{ audit { nodes { actor { kind id name } summary } } }"))["audit"][
        "nodes"
    ][:1]
    assert entry["actor"] == {"kind": "USER", "id": "user-7", "name": "Ada"}


async def test_roles_are_enforced_for_people_too(api: Api, provider: IdentityProvider) -> None:
    api.token = provider.token(groups=["operators"])
    given = {"key": "job", "kind": "PYTHON", "config": {"function": "app.handlers.builtin.noop"}}
    payload = (await api.data(JOB_CREATE, input=given))["jobCreate"]
    assert payload["errors"][0]["code"] == "FORBIDDEN"
    payload = (await api.data(PROJECT_CREATE, input={"key": "third", "name": "x"}))["projectCreate"]
    assert payload["errors"][0]["code"] == "FORBIDDEN"
    api.token = provider.token(groups=["admins"])
    payload = (await api.data(PROJECT_CREATE, input={"key": "third", "name": "x"}))["projectCreate"]
    assert payload["errors"] == []


async def test_project_that_no_group_opens_is_not_there(
    api: Api, provider: IdentityProvider
) -> None:
    guest = provider.token(groups=["guests"])
    closed, missing = [await refusal(api, guest, key) for key in ("default", "nowhere")]
    # Nobody learns from the answer which projects there are.
    assert closed["extensions"] == missing["extensions"]
    assert closed["message"] == missing["message"].replace("nowhere", "default")
    nobody = await refusal(api, provider.token(groups=["strangers"]))
    assert nobody["extensions"]["code"] == "UNAUTHENTICATED"
    assert "no group of yours" in nobody["message"]


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Return a token with a symmetric signature, which no library makes with a public key."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def promoted(token: str) -> str:
    """Return a token whose groups were changed after it was signed."""
    header, payload, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = json.dumps({**claims, "groups": ["admins"]}).encode()
    return f"{header}.{urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"


FORGERIES: dict[str, Callable[[IdentityProvider], str]] = {
    "another issuer": lambda provider: provider.token(iss="http://127.0.0.1:1"),
    "another audience": lambda provider: provider.token(aud="payroll"),
    "no audience": lambda provider: provider.token(aud=None),
    "no expiry": lambda provider: provider.token(exp=None),
    "no subject": lambda provider: provider.token(sub=None),
    "expired": lambda provider: provider.token(exp=int(time.time()) - 60),
    "not valid yet": lambda provider: provider.token(nbf=int(time.time()) + 600),
    "an unknown key": lambda provider: provider.token(headers={"kid": "second"}),
    "a changed claim": lambda provider: promoted(provider.token()),
    "another key under a known name": lambda provider: IdentityProvider().token(
        iss=provider.issuer, groups=["admins"]
    ),
    "no algorithm": lambda provider: jwt.encode(
        provider.claims(), "", algorithm="none", headers={"kid": "first"}
    ),
    "the public key as a shared secret": lambda provider: by_hand(
        {"alg": "HS256", "typ": "JWT", "kid": "first"}, provider.claims(), provider.public_text()
    ),
    "no token at all": lambda _: "a.b.c",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_forged_token_opens_nothing(
    api: Api, provider: IdentityProvider, forge: Callable[[IdentityProvider], str]
) -> None:
    """Each of these passes when its own check is taken out of `SingleSignOn.identify`."""
    error = await refusal(api, forge(provider))
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await viewer(api, provider.token()))["role"] == "EDITOR"


async def test_new_key_of_the_provider_is_fetched_and_the_old_one_forgotten(
    api: Api, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KNOWN_SECONDS", 0.0)
    old = provider.token()
    await viewer(api, old)
    monkeypatch.setattr(single_sign_on, "_ASK_AGAIN_SECONDS", 0.0)
    provider.rotate("second")
    assert (await viewer(api, provider.token()))["role"] == "EDITOR"
    assert (await refusal(api, old))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_stranger_cannot_make_us_ask_the_provider_for_every_token(
    api: Api, provider: IdentityProvider
) -> None:
    await viewer(api, provider.token())
    for number in range(20):
        await refusal(api, provider.token(headers={"kid": f"unknown-{number}"}))
    assert provider.questions == 1


async def test_socket_closes_when_the_token_of_a_person_expires(
    api: Api, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_sign_on, "_LEEWAY_SECONDS", 0)
    api.token = provider.token(exp=int(time.time()) + 2)
    async with api.socket() as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_known_people_get_in_while_the_provider_is_away(
    database_url: str, redis_url: str
) -> None:
    async with running_provider() as provider:
        settings = {"jwt_issuer": provider.issuer, "jwt_audience": AUDIENCE}
        async with running_api(database_url, redis_url, jwt_grants=GRANTS, **settings) as api:
            await viewer(api, provider.token())
            await provider.leave()
            assert (await viewer(api, provider.token()))["role"] == "EDITOR"
            provider.rotate("second")
            error = await refusal(api, provider.token())
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
