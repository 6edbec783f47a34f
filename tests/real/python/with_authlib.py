"""Fetches tokens with authlib. Standard input says where and as whom; any surprise is an exception."""

import json
import sys

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

told = json.load(sys.stdin)
url = told["url"]


def session(method, secret=told["secret"], client_id=told["id"], scope="cms/read"):
    return OAuth2Session(client_id, secret, scope=scope, token_endpoint_auth_method=method)


def fetch(*arguments, **named):
    return session(*arguments, **named).fetch_token(url + "/token", grant_type="client_credentials")


def refused(error, *arguments, **named):
    try:
        fetch(*arguments, **named)
    except OAuthError as said:
        assert said.error == error and said.description, said
    else:
        raise AssertionError(f"{error} was expected")


first = fetch("client_secret_basic")
assert first["token_type"] == "Bearer" and first["scope"] == "cms/read", first
assert 3500 < first["expires_in"] <= 3600, first
for method in "client_secret_basic", "client_secret_post":
    assert fetch(method)["access_token"] == first["access_token"], method
    refused("invalid_client", method, secret="wrong")
    refused("invalid_client", method, client_id="nobody-here")
    refused("invalid_scope", method, scope="cms/write")
# In Basic it does not form-encode (RFC 6749 §2.3.1); in the body, it does.
odd = fetch("client_secret_post", secret=told["odd_secret"], client_id=told["odd_id"])
assert odd["access_token"] != first["access_token"], "another client's, though of the same app client"

holder = session("client_secret_basic")
token = holder.fetch_token(url + "/token", grant_type="client_credentials")["access_token"]
known = holder.get(url + "/validate?scope=cms/read")
assert (known.status_code, known.headers["x-auth-kind"]) == (200, "machine"), known.headers
assert known.headers["x-auth-client-id"] == told["id"], known.headers
known = holder.introspect_token(url + "/introspect", token=token).json()
assert known["active"] is True and known["scope"] == "cms/read", known
gone = holder.revoke_token(url + "/revoke", token=token)
assert gone.status_code == 200, gone.text
assert holder.introspect_token(url + "/introspect", token=token).json() == {"active": False}
assert fetch("client_secret_basic")["access_token"] != token
