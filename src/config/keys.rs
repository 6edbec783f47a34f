//! The one table of configuration keys. Reading, unknown-key detection, the names of environment variables and the
//! printed reference all come from here.

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A TOML string.
    Text,
    /// A TOML number or `true` and `false`, without quotes.
    Plain,
    /// A TOML array of strings; in the environment, items separated by commas.
    List,
}

/// What holds when a key is not written. Lists are given as in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// A mistake; the text is an example.
    Required(&'static str),
    /// This value.
    Default(&'static str),
    /// Nothing; the text is an example.
    Absent(&'static str),
}

use Shape::{List, Plain, Text};
use Unwritten::{Absent, Default, Required};

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) unwritten: Unwritten,
    /// Lines of the reference: what it is, its unit, what breaks if it is wrong.
    pub(super) doc: &'static str,
}

impl Key {
    /// `cookies.domain`
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `AUTH_API__COOKIES__DOMAIN`
    pub(super) fn env(&self) -> String {
        format!("{ENV_PREFIX}{}__{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// What every variable of ours starts with.
pub(super) const ENV_PREFIX: &str = "AUTH_API__";

/// The cookie key that the reference shows. It is public, so it is refused.
pub(super) const EXAMPLE_COOKIE_KEY: &str = "replace this with the output of: openssl rand -base64 32";

macro_rules! keys {
    ($($id:ident = $section:literal $name:literal $shape:ident $unwritten:expr, $doc:literal;)*) => {
        $(pub(super) static $id: Key =
            Key { section: $section, name: $name, shape: $shape, unwritten: $unwritten, doc: $doc };)*
        /// Every key, in the order of the reference.
        pub(super) static ALL: &[&Key] = &[$(&$id),*];
    };
}

/// Every section, with the lines that introduce it in the reference.
pub(super) static SECTIONS: &[(&str, &str)] = &[
    ("server", "Where the service listens, and the origin under which browsers know it."),
    ("provider", "The OpenID Provider that people sign in at, and this service's app client there."),
    ("cookies", "The cookies of a signed-in browser."),
    ("session", "How long people stay signed in, and where that is remembered."),
    ("return_to", "Where a browser may be sent after sign-in and sign-out. Anything else is an open redirect."),
    (
        "policy",
        "Who may sign in at all. What is empty asks for nothing.\n\
         What single pages ask for are blocks of their own, which hold where a trusted proxy says which page is asked for.\n\
         The longest path decides; a site without a rule is for everybody who is signed in. Programs pass only a page whose\n\
         rule names a scope or says so:\n\
         \n\
         [[policy.site]]\n\
         host = \"wiki.example.com\"  # or \"*.example.com\": every host below\n\
         path = \"/admin\"  # and all below; left out: the whole site\n\
         groups = [\"admins\", \"editors\"]  # one of them is enough\n\
         scopes = [\"wiki/write\"]  # all of them\n\
         email_domains = [\"example.com\"]  # a verified address at one of them\n\
         machines = false  # true: for programs too, whatever their scopes\n\
         \n\
         [[policy.site]]\n\
         host = \"wiki.example.com\"\n\
         path = \"/assets\"\n\
         public = true  # for everybody, signed in or not",
    ),
    ("gateway", "What `/validate` answers to sibling services."),
    (
        "machine",
        "Tokens for programs: POST /token hands them out and fetches each only once.\n\
         Registered clients are blocks of their own, here or in the files of `clients`; `auth-api client new` prints one:\n\
         \n\
         [[machine.upstream]]  # an app client at the provider with the client_credentials grant\n\
         name = \"reports\"\n\
         client_id = \"1example23456789\"\n\
         client_secret_file = \"/run/secrets/reports-client\"  # or client_secret\n\
         default_scopes = []  # scopes that the provider adds to its tokens though nobody asked (Keycloak: \"email\", \"profile\")\n\
         \n\
         [[machine.client]]  # a program that knows only its own secret\n\
         id = \"nightly-report\"\n\
         secret_hashes = [\"sha256:…\"]  # two while a secret is changed\n\
         owner = \"data team\"\n\
         scopes = [\"reports/read\"]\n\
         resources = []  # what it may send as `resource` (RFC 8707), character by character\n\
         upstream = \"reports\"\n\
         disabled = false",
    ),
    ("validate", "How sessions keep up with the provider."),
    ("profile", "A person's own attributes, as the user pool has them: GET and PATCH /auth/profile."),
    ("aws", "AWS credentials for people who are signed in, from a Cognito identity pool: POST /auth/aws-credentials."),
    ("pages", "The pages of this service that people see."),
    ("telemetry", "Logs."),
];

keys! {
    LISTEN = "server" "listen" Text Default("127.0.0.1:8080"),
        "IP address and port of the public listener. `0.0.0.0:8080` for every interface, as in a container.";
    OPS_LISTEN = "server" "ops_listen" Text Default("127.0.0.1:9090"),
        "IP address and port for /livez, /readyz and /metrics, which are never on the public listener.\n\
         Keep it off the internet. Empty (\"\") switches it off.";
    PUBLIC_URL = "server" "public_url" Text Required("https://auth-api.example.com"),
        "The origin that browsers use: scheme, host and port, nothing behind them. Every link and the callback that\n\
         is registered at the provider are built from it; a wrong one fails as a redirect mismatch at sign-in.\n\
         Plain http is for loopback names only: localhost, names below it, 127.0.0.0/8, [::1].";
    VALIDATE_TIMEOUT = "server" "validate_timeout" Text Default("3s"),
        "How long /validate and /validate/browser take at most, whatever they wait for; then they answer 503.\n\
         Less than the proxy in front of the sites waits for an answer.";
    TRUSTED_PROXIES = "server" "trusted_proxies" List Default(""),
        "Addresses and networks of the proxies in front of this service (\"10.0.0.0/8\"): whose X-Forwarded-For is\n\
         believed: the last address in it that is none of these is the visitor's, as the list of sessions shows it;\n\
         and whose word about the page that is asked for is: X-Forwarded-Proto, -Host, -Uri and -Method, or\n\
         X-Original-URL and -Method. While it is empty /validate/browser refuses to work.\n\
         Name only what nobody else can connect from: others could claim any address and any page.";
    TLS_CERT_FILE = "server" "tls_cert_file" Text Absent("tls/cert.pem"),
        "PEM certificate chain, leaf first, when this service ends TLS itself. Goes with tls_key_file.\n\
         Without both, a proxy or load balancer in front has to end TLS.";
    TLS_KEY_FILE = "server" "tls_key_file" Text Absent("tls/key.pem"),
        "PEM private key of that certificate.";

    PROFILE = "provider" "profile" Text Default("cognito"),
        "Which provider's habits to expect: \"cognito\", or \"oidc\" for any other OpenID Provider.";
    ISSUER = "provider" "issuer" Text Required("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"),
        "The issuer, character by character as in the provider's tokens; a difference refuses every token.\n\
         For Cognito it is made of region and user pool id, and is not the domain of the hosted UI.";
    CLIENT_ID = "provider" "client_id" Text Required("6o7hexampleclientid"),
        "Id of this service's app client.";
    CLIENT_SECRET = "provider" "client_secret" Text Absent("the-secret-of-the-app-client"),
        "Secret of that app client; none for a public client. If it is wrong, sign-in fails after the hosted UI.";
    CLIENT_SECRET_FILE = "provider" "client_secret_file" Text Absent("/run/secrets/client-secret"),
        "A file that holds the secret, instead of client_secret. One newline at its end is ignored.";
    SCOPES = "provider" "scopes" List Default("openid,email,profile"),
        "Scopes asked for at sign-in; `openid` has to be there. The app client must allow each of them, or the\n\
         provider answers invalid_scope.";
    ACCEPTED_CLIENTS = "provider" "accepted_clients" List Default(""),
        "Ids of further app clients whose access tokens /validate accepts as a bearer.";
    ACCEPTED_AUDIENCES = "provider" "accepted_audiences" List Default(""),
        "Audiences (`aud`) of access tokens that /validate accepts beside client_id: of tokens made for an API, such as\n\
         \"https://orders.example.com\". A token for any other audience is meant for somebody else and refused. Keycloak's\n\
         default audience \"account\" needs no entry here.";
    AUTHORIZE_PARAMETERS = "provider" "authorize_parameters" List Default(""),
        "Parameters to send along when a browser goes to sign in, each as \"name=value\": \"access_type=offline\" for Google,\n\
         \"audience=https://orders.example.com\", \"prompt=login\". The value is written plainly, not percent-encoded. They\n\
         win over what a visitor asks for; what this service sends itself cannot be among them.";
    GROUPS_CLAIM = "provider" "groups_claim" Text Absent("realm_access.roles"),
        "The claim that holds a user's groups: an array of texts, a single text, or an object whose keys they are. Dots lead\n\
         into objects. It may come from the ID token or from userinfo. Absent: `cognito:groups`, or `groups` with profile\n\
         \"oidc\". Name no claim that people can write themselves: they would choose their groups.";
    TRUST_EMAIL_FROM = "provider" "trust_email_from" List Default(""),
        "Identity providers (\"Google\") whose e-mail addresses count as verified though Cognito says they are not.\n\
         Name only those that verify addresses themselves: others let people claim somebody else's.";
    TIMEOUT = "provider" "timeout" Text Default("10s"),
        "Longest wait for one answer of the provider, from 1s to 60s. Browsers wait as long at sign-in.";
    REQUESTS_PER_SECOND = "provider" "requests_per_second" Plain Default("100"),
        "What all processes on one store together ask of the provider in a second, sign-ins and renewals; as many tokens\n\
         for machines, and a quarter of it of the user pools API. Cognito allows 120 in an account and region, which other\n\
         applications may share; beyond its quota it answers 429, and then nobody's tokens are renewed for a while.";
    AUTHORIZATION_ENDPOINT = "provider" "authorization_endpoint" Text Absent("https://login.example.com/oauth2/authorize"),
        "The six addresses below replace what the provider's discovery document says; leave them out unless it is\n\
         wrong or missing something. This one is where browsers sign in.";
    TOKEN_ENDPOINT = "provider" "token_endpoint" Text Absent("https://login.example.com/oauth2/token"),
        "Where codes and refresh tokens become tokens.";
    USERINFO_ENDPOINT = "provider" "userinfo_endpoint" Text Absent("https://login.example.com/oauth2/userInfo"),
        "Where a user's claims are read.";
    REVOCATION_ENDPOINT = "provider" "revocation_endpoint" Text Absent("https://login.example.com/oauth2/revoke"),
        "Where refresh tokens are revoked at sign-out.";
    END_SESSION_ENDPOINT = "provider" "end_session_endpoint" Text Absent("https://login.example.com/logout"),
        "Where a browser signs out at the provider; without it the provider would sign people straight back in.";
    USER_POOLS_ENDPOINT = "provider" "user_pools_endpoint" Text Absent("https://cognito-idp.eu-west-1.amazonaws.com/"),
        "Where Cognito's user pools API is, if not beside the issuer.";
    JWKS_URI = "provider" "jwks_uri" Text Absent("https://login.example.com/jwks.json"),
        "Where the keys that sign tokens are published.";

    COOKIE_DOMAIN = "cookies" "domain" Text Absent("example.com"),
        "The parent domain of this service and its siblings: every host below it receives the session cookie.\n\
         It has to contain the host of server.public_url and be yours alone. Absent: our own host only.";
    COOKIE_KEYS = "cookies" "keys" List Required(EXAMPLE_COOKIE_KEY),
        "Secrets of at least 32 bytes that seal cookies and sessions. The first seals, all open: to change keys, put\n\
         the new one first and drop the old one after session.max_age. Losing them signs everyone out.\n\
         In the environment, keys are separated by commas. The example is refused.";
    COOKIE_KEYS_FILE = "cookies" "keys_file" Text Absent("/run/secrets/cookie-keys"),
        "A file that holds the keys, one a line, instead of keys.";
    EXPOSE = "cookies" "expose" List Default(""),
        "Tokens to set as cookies too, for siblings that verify JWTs themselves: \"id_token\", \"access_token\".\n\
         Each adds kilobytes to every request to every host below cookies.domain.";

    STORE = "session" "store" Text Default("redb:auth-api.redb"),
        "Where sessions are kept: \"redb:PATH\", a file that survives restarts and serves one process; \"memory:\", which\n\
         signs everyone out on restart; or Redis 6.2 or later, or Valkey, which many processes share:\n\
         \"redis://:PASSWORD@HOST:6379/0\", \"rediss://…\" with TLS, \"redis+sentinel://HOST:26379,HOST:26379/MASTER\",\n\
         \"redis+cluster://HOST:6379,HOST:6379\". Deployments that share one server differ in \"?prefix=NAME\".\n\
         Relative paths start at this file's folder.";
    STORE_FILE = "session" "store_file" Text Absent("/run/secrets/session-store"),
        "A file that holds the address of the store, instead of store: it can hold a password.";
    STORE_TIMEOUT = "session" "store_timeout" Text Default("1s"),
        "Longest wait for one answer of the store, from 100ms to 10s. After it /validate answers 503.";
    MAX_STALE = "session" "max_stale" Text Default("250ms"),
        "A process remembers sessions and hears of every change that another one makes in Redis. When it can no longer\n\
         hear, it answers from memory for this long and then asks the store each time, from 50ms to 1h: a longer time\n\
         keeps people signed in through an outage of Redis, and may keep one who signed out elsewhere meanwhile.";
    MAX_AGE = "session" "max_age" Text Default("30d"),
        "How long a session lasts at most. The provider's refresh token should live as long, or the session ends\n\
         when that does. Browsers keep cookies for 400d at most.";
    IDLE = "session" "idle" Text Default("0s"),
        "Ends sessions not used for this long; 0s for no such limit. Shorter than max_age.";
    SIGN_IN_TIMEOUT = "session" "sign_in_timeout" Text Default("1h"),
        "How long people may take at the provider's pages, from 1m to 24h: a code that comes by e-mail, a second factor,\n\
         a new account. After it they are asked to start again, and still get to the page that they wanted.";
    REFRESH_MARGIN = "session" "refresh_margin" Text Default("5m"),
        "POST /refresh renews tokens that have less than this left. Under 1h: each renewal is a call to the provider.";
    PER_USER = "session" "per_user" Plain Default("100"),
        "How many sessions one user has at most: with one more sign-in the oldest ends, at whichever process, and its refresh\n\
         token is revoked. 0 for no limit.";

    RETURN_DEFAULT = "return_to" "default" Text Absent("https://cms.example.com/"),
        "Where people go when they came from nowhere, or from a place that is not allowed.\n\
         Absent: a plain page that says they are signed in.";
    RETURN_ALLOW = "return_to" "allow" List Absent("example.com,external:partner.test"),
        "Hosts that may be returned to, each with its subdomains and all its ports. A host outside cookies.domain\n\
         does not receive the session cookie and is written \"external:partner.test\" to show that this is meant.\n\
         Absent: cookies.domain, or the host of server.public_url without one.";

    ADMIT_EMAIL_DOMAINS = "policy" "email_domains" List Default(""),
        "People need a verified e-mail address at one of these domains.";
    ADMIT_GROUPS = "policy" "groups" List Default(""),
        "People need to be in one of these groups. Who leaves them is signed out when the tokens are next renewed.";

    HEADER_STYLE = "gateway" "header_style" Text Default("x-auth"),
        "Names under which /validate says who it is, beside X-Auth-Subject and its like: \"x-auth\" for no others,\n\
         \"x-auth-request\" for oauth2-proxy's X-Auth-Request-User, -Email, -Groups and -Preferred-Username, \"remote\" for\n\
         Authelia's Remote-User, -Groups, -Name and -Email. The proxy has to copy them and to drop the client's own.";
    FORWARD_TOKENS = "gateway" "forward_tokens" List Default(""),
        "Tokens that /validate answers as X-Auth-Id-Token and X-Auth-Access-Token: \"id_token\", \"access_token\".\n\
         Proxies in between need room for headers of several kilobytes.";
    PREFLIGHTS = "gateway" "preflights" Plain Default("false"),
        "Whether preflights (CORS) of the hosts in return_to.allow are let through to the sites behind a proxy. Anybody can\n\
         send one, and a site that answers OPTIONS as it answers GET then shows its pages to strangers.";

    PASS_THROUGH = "machine" "pass_through" Plain Default("false"),
        "Whether programs may come with the id and secret of an app client of their own, which the provider judges.\n\
         Its tokens are kept for whoever shows the same secret.";
    RECHECK = "machine" "recheck" Text Default("1h"),
        "After this long, such a secret is tried at the provider again though a token is still good: a secret that was\n\
         changed there stops working here within this time. Each try is a token that is billed.";
    CACHE_MARGIN = "machine" "cache_margin" Text Default("60s"),
        "No token with this little life left is handed out, up to 4m.";
    CLIENTS = "machine" "clients" Text Absent("clients.d"),
        "A file, or a folder of .toml files, with more [[client]] blocks. Read again within five seconds when something\n\
         changes; while it has a mistake, what was read before stays.";
    PER_CLIENT = "machine" "requests_per_second" Plain Default("20000"),
        "What one registered client may ask for in a second.";
    PER_ADDRESS = "machine" "failures_per_minute" Plain Default("120"),
        "How many wrong secrets one address may show in a minute, and how many new ones that have to pass through to\n\
         the provider. Right ones of registered clients always pass.";
    FETCHES = "machine" "fetches_per_hour" Plain Default("120"),
        "How many tokens may be fetched, and billed, for one client in an hour, in each process; what is at hand is handed\n\
         out beyond that. Each scope set, each `resource` and each renewal is a token of its own.";
    PRICE = "machine" "price_per_1000" Plain Default("2.25"),
        "What the provider bills for 1,000 tokens, for the metric auth_api_machine_saved_dollars.";

    CHECK_REVOKED = "validate" "check_revoked" Text Default("never"),
        "How often Cognito is asked, in the background, whether somebody who is at work was disabled or signed out there:\n\
         \"never\", \"interval\" for every 15m, or a time from 1m to 24h. Their sessions end within that time, otherwise\n\
         at the next renewal. Needs the scope aws.cognito.signin.user.admin. Each question counts in Cognito's quota.";

    WRITABLE = "profile" "writable" List Default(""),
        "Attributes that people may change: \"name\", \"custom:theme\". The app client must allow to write them. Addresses\n\
         and phone numbers cannot be among them, since nobody would verify them.\n\
         Needs the scope aws.cognito.signin.user.admin, as reading does.";

    IDENTITY_POOL = "aws" "identity_pool" Text Absent("eu-west-1:11111111-2222-3333-4444-555555555555"),
        "The id of the identity pool. Absent: nobody gets credentials.";
    ROLE_ARN = "aws" "role_arn" Text Absent("arn:aws:iam::111122223333:role/app"),
        "The role that everybody gets, among those that the pool may give. Absent: as the pool's rules say.";
    GUEST = "aws" "guest" Plain Default("false"),
        "Whether strangers get the pool's credentials for guests, all of them those of one identity.";
    AWS_LOGIN = "aws" "login" Text Absent("cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"),
        "What the user pool is called there, if not the issuer without https://.";
    AWS_ENDPOINT = "aws" "endpoint" Text Absent("https://cognito-identity.eu-west-1.amazonaws.com/"),
        "Where the identity pools API is, if not where the pool's region says.";

    SUPPORT = "pages" "support" Text Absent("help@example.com"),
        "Whom people can ask, shown on error pages with the reference that is in the log: an e-mail address or an https\n\
         address.";

    LOG = "telemetry" "log" Text Default("info"),
        "Log filter: off, error, warn, info, debug, trace, or directives such as \"info,auth_api=debug\".";
    FORMAT = "telemetry" "format" Text Default("text"),
        "\"text\" for people, \"json\" for one JSON object a line.";
}
