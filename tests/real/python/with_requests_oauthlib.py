"""Fetches tokens with requests-oauthlib. Standard input says where and as whom; any surprise is an exception."""

import json
import os
import sys

# It refuses plain http otherwise.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

told = json.load(sys.stdin)
url = told["url"]


def session(client_id, scope):
    return OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope=scope))


def basic(secret=told["secret"], client_id=told["id"], scope="cms/read", **named):
    auth = HTTPBasicAuth(client_id, secret)
    return session(client_id, scope).fetch_token(url + "/token", auth=auth, **named)


def body(secret=told["secret"], client_id=told["id"], scope="cms/read"):
    made = session(client_id, scope)
    return made.fetch_token(url + "/token", client_secret=secret, include_client_id=True)


def refused(error, fetch, **named):
    try:
        fetch(**named)
    except error as said:
        assert said.description, said
    else:
        raise AssertionError(f"{error} was expected")


first = basic()
assert first["token_type"] == "Bearer" and first["scope"] == ["cms/read"], first
assert 3500 < first["expires_in"] <= 3600, first
for fetch in basic, body:
    assert fetch()["access_token"] == first["access_token"], fetch
    refused(InvalidClientError, fetch, secret="wrong")
    refused(InvalidClientError, fetch, client_id="nobody-here")
    refused(InvalidScopeError, fetch, scope="cms/write")
assert basic(include_client_id=True)["access_token"] == first["access_token"], "the id in both places"
# In Basic it does not form-encode (RFC 6749 §2.3.1); in the body, it does.
odd = body(secret=told["odd_secret"], client_id=told["odd_id"])
assert odd["access_token"] != first["access_token"], "another client's, though of the same app client"

holder = session(told["id"], "cms/read")
holder.fetch_token(url + "/token", client_secret=told["secret"])
known = holder.get(url + "/validate?scope=cms/read")
assert (known.status_code, known.headers["x-auth-kind"]) == (200, "machine"), known.headers
assert known.headers["x-auth-client-id"] == told["id"], known.headers
