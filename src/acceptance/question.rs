//! The questions that Cognito's manual leaves open, with what auth-api relies on.

/// One question. `$POOL`, `$CLIENT` and `$REGION` in its texts stand for the configured ones.
#[derive(Debug)]
pub struct Question {
    /// Stable.
    pub id: &'static str,
    /// The question itself.
    pub text: &'static str,
    /// What auth-api relies on.
    pub relies_on: &'static str,
    /// What to change if the pool does otherwise.
    pub remedy: &'static str,
    /// How to find out where a run cannot ask.
    pub by_hand: &'static str,
}

const NOTHING: &str = "nothing: auth-api copes with it";

/// A question that a run asks.
const fn automatic(id: &'static str, text: &'static str, relies_on: &'static str, remedy: &'static str) -> Question {
    Question { id, text, relies_on, remedy, by_hand: "" }
}

/// A question that no run can ask: it takes AWS credentials, a trigger that fails, or harm.
const fn manual(id: &'static str, text: &'static str, relies_on: &'static str, by_hand: &'static str) -> Question {
    Question { id, text, relies_on, remedy: "", by_hand }
}

/// All of them, in the order of the report.
pub const QUESTIONS: &[Question] = &[
    automatic(
        "issuer.kind",
        "Is the issuer of the original kind, or of the newer one (issuer-cognito-idp)?",
        "provider.issuer, as it is written",
        "load balancers and REST APIs of AWS refuse tokens of the newer kind; with an identity pool see identity_pool.login",
    ),
    automatic(
        "documents.cache",
        "How long may discovery and the keys be cached?",
        "no header: the keys are read again when a token names one that is not known",
        NOTHING,
    ),
    automatic(
        "login.page",
        "Which page does a browser meet: the classic form, or managed login?",
        "a page that answers 200",
        "managed login needs a branding: aws cognito-idp create-managed-login-branding --user-pool-id $POOL --client-id \
         $CLIENT --use-cognito-provided-values",
    ),
    automatic(
        "authorize.redirect_uri",
        "What does a sign-in with an unregistered callback URL meet?",
        "a page of the pool; no browser is sent to an address that is not registered",
        "do not go live: anybody could have codes sent to them",
    ),
    automatic(
        "authorize.scope",
        "What does a sign-in with a scope meet that the app client may not have?",
        "an error at the callback, whatever its code",
        "compare provider.scopes with the scopes of the app client: the pool itself says nothing",
    ),
    automatic(
        "authorize.request",
        "What does a malformed sign-in meet (a PKCE method that is not S256)?",
        "an error at the callback, whatever its code",
        NOTHING,
    ),
    automatic(
        "authorize.state",
        "Does each error come back with its state?",
        "state, to know which sign-in failed; without it the error page links to the page of the browser's last sign-in",
        NOTHING,
    ),
    automatic(
        "prompt.none.signed_out",
        "Does prompt=none, without a session at the pool, come back with an error?",
        "login_required; a pool that ignores prompt shows its page instead",
        "with the classic hosted UI send no prompt=none to /auth/signin; managed login (ManagedLoginVersion 2) knows it",
    ),
    automatic(
        "sign_in.tokens",
        "Does auth-api accept the code and the tokens of a sign-in?",
        "every check of a sign-in: PKCE, signature, iss, aud, exp, nonce, at_hash, token_use",
        "the answer names what is wrong; auth-api check --online asks about the configuration",
    ),
    automatic(
        "sign_in.claims",
        "Which claims of a session does the ID token of a sign-in hold?",
        "nonce; origin_jti makes a revoked session's tokens refusable at once, and at_hash is compared if it is there",
        "switch token revocation on for the app client (EnableTokenRevocation): there is no origin_jti without it",
    ),
    automatic(
        "sign_in.groups",
        "Are groups and custom attributes in the first tokens?",
        "cognito:groups as a list of texts; custom attributes as the app client's read attributes allow",
        "groups that are no list of texts are ignored: look for a pre-token trigger that writes them",
    ),
    automatic(
        "sign_in.keys",
        "Are ID token and access token signed with different keys?",
        "both keys being in the JWKS under their kid",
        NOTHING,
    ),
    automatic(
        "sign_in.audience",
        "Has the access token an audience?",
        "none, the client, or one of provider.accepted_audiences",
        "add the audience to provider.accepted_audiences, or take `resource` out of provider.authorize_parameters",
    ),
    automatic(
        "sign_in.refresh_token",
        "Does a sign-in give a refresh token?",
        "one; without it a session ends with its claims as they were",
        "allow refresh tokens to the app client (its authentication flows, or rotation)",
    ),
    automatic(
        "sign_in.size",
        "How large are the tokens?",
        "nothing with the defaults: cookies hold a session's id, not tokens",
        "ID tokens of this size do not fit the headers of most proxies: leave gateway.forward_tokens and cookies.expose \
         empty, or let a pre-token trigger take claims out",
    ),
    automatic(
        "sign_in.again",
        "Does a second sign-in succeed without typing?",
        "a session of an hour at the pool",
        "without a session there, each expired session here asks for a password",
    ),
    automatic(
        "sign_in.auth_time",
        "Does auth_time stay at a sign-in without typing?",
        "nothing; an application that wants a recent sign-in reads auth_time in the ID token",
        "auth_time does not tell when somebody last typed: send prompt=login where a recent sign-in matters",
    ),
    automatic(
        "prompt.none.signed_in",
        "Does prompt=none, with a session at the pool, sign in?",
        "a code, and no page",
        "send no prompt=none to /auth/signin",
    ),
    automatic(
        "prompt.login",
        "Does prompt=login show the sign-in page though there is a session?",
        "the page; a classic hosted UI ignores prompt, and auth-api signs out first where people choose an account",
        "links with prompt=login do not ask for a password: use managed login, or let people sign out first",
    ),
    automatic(
        "logout.form",
        "Does /logout with redirect_uri show the sign-in page, and keep state, nonce and PKCE?",
        "nothing: auth-api signs out with logout_uri",
        NOTHING,
    ),
    automatic(
        "logout.session",
        "Does /logout with logout_uri come back, and end the pool's session?",
        "both; otherwise the next sign-in after a sign-out asks nobody",
        "register the sign-out URL; whoever signs out on a shared machine stays signed in otherwise",
    ),
    automatic(
        "code.client_secret",
        "What does the token endpoint answer to a wrong secret, and is the code spent then?",
        "an error; it is a mistake in the configuration, and no code is tried twice",
        "the pool does not ask for the secret: anybody who has a code can use it",
    ),
    automatic(
        "code.reuse",
        "What does the token endpoint answer to a used code, and do the tokens of its first use go on?",
        "an error; copies of a callback share the one exchange",
        "a copied callback can be used: do not go live",
    ),
    automatic(
        "code.pkce",
        "What does the token endpoint answer to a wrong code_verifier, and is the code spent then?",
        "an error",
        "PKCE protects nothing here: do not go live",
    ),
    automatic(
        "code.redirect_uri",
        "What does the token endpoint answer to another redirect_uri than the code's?",
        "an error",
        "codes are not bound to their callback: do not go live",
    ),
    automatic(
        "client.basic",
        "Does the token endpoint percent-decode an id and a secret in HTTP Basic (RFC 6749 §2.3.1)?",
        "nothing: auth-api sends them in the body",
        NOTHING,
    ),
    automatic(
        "refresh.tokens",
        "Does auth-api accept the tokens of a renewal?",
        "every check of a renewal: the same user, the same nonce or none",
        "sessions would end after an hour: the answer names what is wrong",
    ),
    automatic(
        "refresh.nonce",
        "Does a renewed ID token hold the nonce?",
        "the same nonce, or none",
        "auth-api refuses a renewal with another nonce",
    ),
    automatic("refresh.at_hash", "Does a renewed ID token hold at_hash?", "one that fits, or none", NOTHING),
    automatic(
        "refresh.origin_jti",
        "Does a renewed ID token hold the origin_jti of the sign-in?",
        "the same one, or none in both",
        "a revoked session's earlier tokens are accepted until they expire: shorten the lifetime of ID and access tokens",
    ),
    automatic("refresh.auth_time", "Does auth_time stay at a renewal?", "nothing", NOTHING),
    automatic(
        "refresh.rotation",
        "Does a renewal give another refresh token?",
        "nothing: a new one replaces the old one, without one the old one stays",
        NOTHING,
    ),
    automatic(
        "refresh.reuse",
        "With rotation, what does the token endpoint answer to a used refresh token?",
        "invalid_grant, which ends the session after a second look at the store",
        "set the grace period of the rotation to 60 s (RetryGracePeriodSeconds)",
    ),
    automatic(
        "userinfo.email_verified",
        "Is email_verified a text or a boolean in userinfo?",
        "nothing for Cognito: auth-api reads the ID token, where it is a boolean",
        NOTHING,
    ),
    automatic(
        "get_user",
        "Does the user pools API answer with the access token (GetUser)?",
        "an answer, for /auth/profile, if the scope aws.cognito.signin.user.admin is asked for",
        "set provider.user_pools_endpoint, or take the scope out of provider.scopes",
    ),
    automatic(
        "identity_pool.login",
        "Does the identity pool take the ID token under the configured name?",
        "the issuer without https://, or aws.login",
        "set aws.login to cognito-idp.$REGION.amazonaws.com/$POOL; else make the pool and its app client a provider of \
         the identity pool",
    ),
    automatic(
        "revoke.refresh_token",
        "What does the revocation endpoint answer?",
        "200; the body is not read",
        "switch token revocation on for the app client (EnableTokenRevocation)",
    ),
    automatic(
        "revoke.again",
        "And for a token that is revoked already?",
        "200; any other answer is only logged",
        NOTHING,
    ),
    automatic(
        "revoke.refresh",
        "What does a renewal with a revoked token meet?",
        "invalid_grant, which ends the session",
        "sessions that ended elsewhere live on here until session.max_age",
    ),
    automatic(
        "revoke.userinfo",
        "What does userinfo answer to an access token whose refresh token is revoked?",
        "nothing: auth-api keeps its own list of revoked sessions",
        NOTHING,
    ),
    automatic(
        "machine.token",
        "Does auth-api accept a machine's token?",
        "an access token that names the upstream's client",
        "allow client_credentials to the app client, and OAuth at all (AllowedOAuthFlowsUserPoolClient)",
    ),
    automatic(
        "machine.scope.unknown",
        "What does a machine meet that asks for a scope that nobody has defined?",
        "an error, which becomes invalid_scope",
        "scopes with a spelling mistake give tokens that are good for nothing: auth-api refuses them all the same",
    ),
    automatic(
        "machine.scope.mixed",
        "And for one beside a good one?",
        "an error, or a token without it: the scopes of the token are compared with the request",
        NOTHING,
    ),
    automatic(
        "machine.scope.openid",
        "And for a scope of people (openid)?",
        "an error, which becomes invalid_scope",
        "auth-api refuses a token with other scopes than a client may have",
    ),
    automatic(
        "machine.resource",
        "Does a machine's token for a resource have its audience?",
        "nothing: who receives the token compares aud",
        "the pool ignores `resource` for machines: take it out of the client's registration, or add aud in a pre-token trigger",
    ),
    manual(
        "throttling",
        "What is answered to too many requests?",
        "429, or the API's word for it; anything else counts as an outage, with the same pause",
        "no run tries: it would throttle everybody. The log says `is throttled` or names the status",
    ),
    manual(
        "trigger.post_authentication",
        "Does the post-authentication trigger fire for native users of managed login?",
        "nothing but default groups and legacy ids, which federated users get in any case",
        "sign in twice as a native user, then: aws logs filter-log-events --log-group-name /aws/lambda/FUNCTION \
         --filter-pattern PostAuthentication_Authentication",
    ),
    manual(
        "trigger.token_failure",
        "What comes of a pre-token trigger that fails, at a sign-in and at a renewal?",
        "an error; invalid_grant at a renewal would end sessions",
        "in a test pool let the function fail, run this once more, and compare sign_in.tokens and refresh.tokens of the two",
    ),
    manual(
        "federated.second_sign_in",
        "Can a federated user sign in twice, with email_verified mapped?",
        "the second sign-in; without write access to a mapped attribute it ends in `Attribute cannot be updated`",
        "sign in with a provider in this run, without --type-once; once for each provider. The list: aws cognito-idp describe-user-pool-client --user-pool-id $POOL \
         --client-id $CLIENT --query UserPoolClient.WriteAttributes",
    ),
    manual(
        "pool.settings",
        "How is the pool set up: tier, issuer, rotation and its grace period?",
        "nothing; these explain the answers above",
        "aws cognito-idp describe-user-pool --user-pool-id $POOL; aws cognito-idp describe-user-pool-client \
         --user-pool-id $POOL --client-id $CLIENT",
    ),
    manual(
        "machine.price",
        "What does a machine token cost in this Region?",
        "machine.price_per_1000, for a metric",
        "aws ce get-cost-and-usage --time-period Start=DAY,End=DAY --granularity DAILY --metrics UnblendedCost \
         --group-by Type=DIMENSION,Key=USAGE_TYPE",
    ),
];
