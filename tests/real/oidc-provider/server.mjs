// An OpenID Provider on loopback, set up by its guide. It prints its issuer, then reads the address of the one client from its
// input, and ends when that input does.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// It warns about what only tests do: keys of the day, memory for a database, any password.
console.info = console.warn = () => {};
const { Provider } = await import('oidc-provider');

const people = {
  erin: { name: 'Erin Editor', preferred_username: 'erin', email: 'erin@example.com', email_verified: true, groups: ['editors', 'admins'] },
  jane: { name: 'Jane Doe', email: 'jane@example.com', email_verified: false },
};

// The guide's configuration, for a service at `origin`. The secret has characters that HTTP Basic has to encode (RFC 6749
// section 2.3.1).
function ofTheGuide(origin) {
  const guide = readFileSync(new URL('../../../src/guide/oidc-provider.md', import.meta.url), 'utf8');
  const [, text] = /```js\n(.*?)```/s.exec(guide);
  const here = text.replaceAll('https://auth-api.example.com', origin).replace('SECRET', 'a+secret/with=odd%characters:in it');
  return new Function(`return ${here}`)();
}

// Requests that come before the client's address is known wait for it.
let handle;
const ready = new Promise((resolve) => { handle = resolve; });
const server = createServer(async (request, response) => (await ready)(request, response));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);

const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit(0));
const [client] = await once(input, 'line');

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  ...ofTheGuide(client),
  cookies: { keys: ['a key for tests'] },
  // Names under localhost do not resolve everywhere, and its own dispatcher refuses to connect to loopback.
  fetch: (url, { dispatcher, ...options }) => {
    const here = new URL(url);
    here.hostname = '127.0.0.1';
    return fetch(here, options);
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-the-day', alg: 'RS256', use: 'sig' }] },
  pkce: { required: () => true },
  ttl: { AccessToken: 3600, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
});
handle(provider.callback());
