// A plain OpenID Provider on loopback. It prints its issuer, then reads the address of the one client from its
// input, and ends when that input does.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// It warns about what only tests do: keys of the day, memory for a database, any password.
console.info = console.warn = () => {};
const { Provider } = await import('oidc-provider');

const people = {
  erin: { name: 'Erin Editor', preferred_username: 'erin', email: 'erin@example.com', email_verified: true, groups: ['editors', 'admins'] },
  jane: { name: 'Jane Doe', email: 'jane@example.com', email_verified: false },
};

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
  clients: [{
    client_id: 'auth-api',
    // Characters that HTTP Basic has to encode (RFC 6749 section 2.3.1).
    client_secret: 'a+secret/with=odd%characters:in it',
    redirect_uris: [`${client}/auth/signin/callback`],
    post_logout_redirect_uris: [`${client}/auth/signout/callback`],
    backchannel_logout_uri: `${client}/auth/backchannel-logout`,
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code', 'refresh_token'],
  }],
  claims: {
    email: ['email', 'email_verified'],
    groups: ['groups'],
    profile: ['name', 'preferred_username'],
  },
  conformIdTokenClaims: false,
  cookies: { keys: ['a key for tests'] },
  features: { backchannelLogout: { enabled: true }, revocation: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  // Names under localhost do not resolve everywhere, and its own dispatcher refuses to connect to loopback.
  fetch: (url, { dispatcher, ...options }) => {
    const here = new URL(url);
    here.hostname = '127.0.0.1';
    return fetch(here, options);
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  issueRefreshToken: () => true,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-the-day', alg: 'RS256', use: 'sig' }] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
});
handle(provider.callback());
