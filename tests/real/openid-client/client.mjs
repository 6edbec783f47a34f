// Fetches tokens with openid-client. Standard input says where and as whom; any surprise is an exception.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'

const told = JSON.parse(readFileSync(0, 'utf8'))
const issuer = new URL(told.issuer)
// Node asks the resolver for names below localhost, which browsers know to be this machine.
const local = (url, options) => fetch(String(url).replace(issuer.host, `127.0.0.1:${issuer.port}`), options)
const discover = (id, how) =>
  client.discovery(issuer, id, undefined, how, {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
    [client.customFetch]: local,
  })
const fetchToken = async (how, id = told.id, scope = 'cms/read') =>
  client.clientCredentialsGrant(await discover(id, how), { scope })

const first = await fetchToken(client.ClientSecretBasic(told.secret))
assert.deepEqual([first.token_type, first.scope], ['bearer', 'cms/read'])
assert.ok(first.expires_in > 3500 && first.expires_in <= 3600, String(first.expires_in))
const odd = await fetchToken(client.ClientSecretBasic(told.odd_secret), told.odd_id)
assert.notEqual(odd.access_token, first.access_token)
for (const method of [client.ClientSecretBasic, client.ClientSecretPost]) {
  assert.equal((await fetchToken(method(told.secret))).access_token, first.access_token)
  // Odd characters: it form-encodes both parts (RFC 6749 §2.3.1).
  assert.equal((await fetchToken(method(told.odd_secret), told.odd_id)).access_token, odd.access_token)
  for (const id of [told.id, 'nobody here: %41+é']) {
    await assert.rejects(fetchToken(method('wrong'), id), (error) => {
      // A 401 has to come with a challenge, which is what this library tells first.
      assert.deepEqual([error.code, error.status], ['OAUTH_WWW_AUTHENTICATE_CHALLENGE', 401])
      assert.equal(error.cause[0].scheme, 'basic')
      return true
    })
  }
  await assert.rejects(fetchToken(method(told.secret), told.id, 'cms/write'), {
    name: 'ResponseBodyError',
    error: 'invalid_scope',
    status: 400,
  })
}
const wrong = await fetchToken(client.ClientSecretPost('wrong')).catch((error) => error.response.json())
assert.equal(wrong.error, 'invalid_client')

const config = await discover(told.id, client.ClientSecretBasic(told.secret))
const validate = new URL('/validate?scope=cms/read', issuer)
const known = await client.fetchProtectedResource(config, first.access_token, validate, 'GET')
assert.deepEqual([known.status, known.headers.get('x-auth-kind')], [200, 'machine'])
const live = await client.tokenIntrospection(config, first.access_token)
assert.deepEqual([live.active, live.scope, live.token_type], [true, 'cms/read', 'Bearer'])
assert.equal(live.client_id, told.id)
await client.tokenRevocation(config, first.access_token, { token_type_hint: 'access_token' })
assert.deepEqual(await client.tokenIntrospection(config, first.access_token), { active: false })
const next = await client.clientCredentialsGrant(config)
assert.notEqual(next.access_token, first.access_token)
