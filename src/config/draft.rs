//! Every key read into its own type, right or wrong, before the rules between keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use super::hosts::{self, AllowedHost};
use super::load::Blocks;
use super::machine::Machine;
use super::pages::{self, Pages, Support};
use super::problem::{Wrong, shown};
use super::reader::{Field, Reader};
use super::store_url::{self, StoreUrl};
use super::urls::{self, PublicUrl};
use super::values::{self, Exposed, HeaderStyle, LogFormat, Profile, Secret};
use super::{
    Config, Cookies, EndpointOverrides, Gateway, Provider, ReturnTo, Server, Session, Telemetry, Tls, Validate, keys,
};
use super::{authorize_parameters, cognito, credentials};
use crate::domain::page_rules::{PageRule, PageRules};
use crate::domain::policy::Policy;
use crate::domain::requirement::Requirement;

/// One field a key; a secret and its file share one.
pub(super) struct Draft {
    pub(super) listen: Field<SocketAddr>,
    pub(super) ops_listen: Field<Option<SocketAddr>>,
    pub(super) public_url: Field<PublicUrl>,
    pub(super) validate_timeout: Field<Duration>,
    pub(super) trusted_proxies: Field<Vec<IpNet>>,
    pub(super) tls_cert_file: Field<PathBuf>,
    pub(super) tls_key_file: Field<PathBuf>,
    pub(super) profile: Field<Profile>,
    pub(super) issuer: Field<(String, Url)>,
    pub(super) client_id: Field<String>,
    pub(super) client_secret: Field<SecretString>,
    pub(super) scopes: Field<Vec<String>>,
    pub(super) accepted_clients: Field<Vec<String>>,
    pub(super) accepted_audiences: Field<Vec<String>>,
    pub(super) authorize_parameters: Field<Vec<(String, String)>>,
    pub(super) groups_claim: Field<String>,
    pub(super) trust_email_from: Field<Vec<String>>,
    pub(super) timeout: Field<Duration>,
    pub(super) requests_per_second: Field<u32>,
    pub(super) authorization_endpoint: Field<Url>,
    pub(super) token_endpoint: Field<Url>,
    pub(super) userinfo_endpoint: Field<Url>,
    pub(super) revocation_endpoint: Field<Url>,
    pub(super) end_session_endpoint: Field<Url>,
    pub(super) user_pools_endpoint: Field<Url>,
    pub(super) jwks_uri: Field<Url>,
    pub(super) cookie_domain: Field<String>,
    pub(super) cookie_keys: Field<Vec<Secret>>,
    pub(super) expose: Field<Exposed>,
    pub(super) store: Field<StoreUrl>,
    pub(super) store_timeout: Field<Duration>,
    pub(super) max_stale: Field<Duration>,
    pub(super) max_age: Field<Duration>,
    pub(super) idle: Field<Duration>,
    pub(super) sign_in_timeout: Field<Duration>,
    pub(super) refresh_margin: Field<Duration>,
    pub(super) per_user: Field<Option<usize>>,
    pub(super) return_default: Field<Url>,
    pub(super) return_allow: Field<Vec<AllowedHost>>,
    pub(super) admit_email_domains: Field<Vec<String>>,
    pub(super) admit_groups: Field<Vec<String>>,
    pub(super) header_style: Field<HeaderStyle>,
    pub(super) forward_tokens: Field<Exposed>,
    pub(super) preflights: Field<bool>,
    pub(super) pass_through: Field<bool>,
    pub(super) recheck: Field<Duration>,
    pub(super) cache_margin: Field<Duration>,
    pub(super) clients: Field<PathBuf>,
    pub(super) per_client: Field<u32>,
    pub(super) per_address: Field<u32>,
    pub(super) fetches: Field<u32>,
    pub(super) price: Field<f64>,
    pub(super) check_revoked: Field<Option<Duration>>,
    pub(super) writable: Field<Vec<String>>,
    pub(super) identity_pool: Field<String>,
    pub(super) role_arn: Field<String>,
    pub(super) guest: Field<bool>,
    pub(super) aws_login: Field<String>,
    pub(super) aws_endpoint: Field<Url>,
    pub(super) support: Field<Support>,
    pub(super) log: Field<String>,
    pub(super) format: Field<LogFormat>,
}

impl Draft {
    /// Reads every key of the table once.
    pub(super) fn read(r: &mut Reader) -> Draft {
        let store = r.secret(&keys::STORE, &keys::STORE_FILE, store_url::store_url).map(|store| match store {
            StoreUrl::Redb(path) => StoreUrl::Redb(r.absolute(&path)),
            other => other,
        });
        Draft {
            listen: r.text(&keys::LISTEN, values::socket_addr),
            ops_listen: r.maybe_empty(&keys::OPS_LISTEN, values::ops_addr),
            public_url: r.text(&keys::PUBLIC_URL, urls::public_url),
            validate_timeout: r.text(&keys::VALIDATE_TIMEOUT, values::fine_duration),
            trusted_proxies: r.list(&keys::TRUSTED_PROXIES, values::proxy),
            tls_cert_file: r.path(&keys::TLS_CERT_FILE),
            tls_key_file: r.path(&keys::TLS_KEY_FILE),
            profile: r.text(&keys::PROFILE, values::profile),
            issuer: r.text(&keys::ISSUER, super::issuer::parse),
            client_id: r.text(&keys::CLIENT_ID, credentials::client_id),
            client_secret: r.secret(&keys::CLIENT_SECRET, &keys::CLIENT_SECRET_FILE, credentials::client_secret),
            scopes: r.list(&keys::SCOPES, credentials::scope),
            accepted_clients: r.list(&keys::ACCEPTED_CLIENTS, credentials::client_id),
            accepted_audiences: r.list(&keys::ACCEPTED_AUDIENCES, credentials::audience),
            authorize_parameters: r.list(&keys::AUTHORIZE_PARAMETERS, authorize_parameters::parse),
            groups_claim: r.text(&keys::GROUPS_CLAIM, credentials::claim),
            trust_email_from: r.list(&keys::TRUST_EMAIL_FROM, credentials::identity_provider),
            timeout: r.text(&keys::TIMEOUT, values::duration),
            requests_per_second: r.text(&keys::REQUESTS_PER_SECOND, values::count),
            authorization_endpoint: r.text(&keys::AUTHORIZATION_ENDPOINT, endpoint),
            token_endpoint: r.text(&keys::TOKEN_ENDPOINT, endpoint),
            userinfo_endpoint: r.text(&keys::USERINFO_ENDPOINT, endpoint),
            revocation_endpoint: r.text(&keys::REVOCATION_ENDPOINT, endpoint),
            end_session_endpoint: r.text(&keys::END_SESSION_ENDPOINT, endpoint),
            user_pools_endpoint: r.text(&keys::USER_POOLS_ENDPOINT, endpoint),
            jwks_uri: r.text(&keys::JWKS_URI, endpoint),
            cookie_domain: r.text(&keys::COOKIE_DOMAIN, hosts::cookie_domain),
            cookie_keys: r.secrets(&keys::COOKIE_KEYS, &keys::COOKIE_KEYS_FILE, credentials::cookie_key),
            expose: r.list(&keys::EXPOSE, values::token_name),
            store,
            store_timeout: r.text(&keys::STORE_TIMEOUT, values::fine_duration),
            max_stale: r.text(&keys::MAX_STALE, values::fine_duration),
            max_age: r.text(&keys::MAX_AGE, values::duration),
            idle: r.text(&keys::IDLE, values::duration),
            sign_in_timeout: r.text(&keys::SIGN_IN_TIMEOUT, values::duration),
            refresh_margin: r.text(&keys::REFRESH_MARGIN, values::duration),
            per_user: r.text(&keys::PER_USER, values::limit),
            return_default: r.text(&keys::RETURN_DEFAULT, urls::web_url),
            return_allow: r.list(&keys::RETURN_ALLOW, hosts::allowed_host),
            admit_email_domains: r.list(&keys::ADMIT_EMAIL_DOMAINS, hosts::host_name),
            admit_groups: r.list(&keys::ADMIT_GROUPS, values::group),
            header_style: r.text(&keys::HEADER_STYLE, values::header_style),
            forward_tokens: r.list(&keys::FORWARD_TOKENS, values::token_name),
            preflights: r.text(&keys::PREFLIGHTS, values::flag),
            pass_through: r.text(&keys::PASS_THROUGH, values::flag),
            recheck: r.text(&keys::RECHECK, values::duration),
            cache_margin: r.text(&keys::CACHE_MARGIN, values::duration),
            clients: r.path(&keys::CLIENTS),
            per_client: r.text(&keys::PER_CLIENT, values::count),
            per_address: r.text(&keys::PER_ADDRESS, values::count),
            fetches: r.text(&keys::FETCHES, values::count),
            price: r.text(&keys::PRICE, values::price),
            check_revoked: r.text(&keys::CHECK_REVOKED, cognito::check_revoked),
            writable: r.list(&keys::WRITABLE, cognito::writable),
            identity_pool: r.text(&keys::IDENTITY_POOL, cognito::identity_pool),
            role_arn: r.text(&keys::ROLE_ARN, cognito::role_arn),
            guest: r.text(&keys::GUEST, values::flag),
            aws_login: r.text(&keys::AWS_LOGIN, credentials::client_id),
            aws_endpoint: r.text(&keys::AWS_ENDPOINT, endpoint),
            support: r.text(&keys::SUPPORT, pages::support),
            log: r.text(&keys::LOG, values::log_filter),
            format: r.text(&keys::FORMAT, values::log_format),
        }
    }

    /// The configuration; `None` if a required value is missing or wrong.
    pub(super) fn finish(self, blocks: Blocks) -> Option<Config> {
        let public_url = self.public_url.take()?;
        let domain = self.cookie_domain.take();
        let own = || AllowedHost { host: domain.as_deref().unwrap_or(public_url.host()).to_owned(), external: false };
        let allow = self.return_allow.take().unwrap_or_else(|| vec![own()]);
        let tls = match (self.tls_cert_file.take(), self.tls_key_file.take()) {
            (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file }),
            _ => None,
        };
        let issuer = self.issuer.take()?.0;
        let groups_matter = self.groups_claim.good().is_some()
            || self.scopes.good().is_some_and(|scopes| scopes.iter().any(|scope| scope == "groups"))
            || self.admit_groups.good().is_some_and(|groups| !groups.is_empty())
            || blocks.sites.iter().any(PageRule::asks_for_groups);
        let identity_pool = cognito::assemble(
            self.identity_pool.take(),
            &issuer,
            self.role_arn.take(),
            self.aws_login.take(),
            self.aws_endpoint.take(),
            self.guest.take()?,
        );
        Some(Config {
            server: Server {
                listen: self.listen.take()?,
                ops_listen: self.ops_listen.take()?,
                public_url,
                validate_timeout: self.validate_timeout.take()?,
                trusted_proxies: self.trusted_proxies.take()?,
                tls,
            },
            provider: Provider {
                profile: self.profile.take()?,
                issuer,
                user_pools_endpoint: self.user_pools_endpoint.take(),
                identity_pool,
                client_id: self.client_id.take()?,
                client_secret: self.client_secret.take(),
                scopes: self.scopes.take()?,
                accepted_clients: self.accepted_clients.take()?,
                accepted_audiences: self.accepted_audiences.take()?,
                authorize_parameters: self.authorize_parameters.take()?,
                groups_matter,
                groups_claim: self.groups_claim.take(),
                trust_email_from: self.trust_email_from.take()?,
                timeout: self.timeout.take()?,
                requests_per_second: self.requests_per_second.take()?,
                endpoints: EndpointOverrides {
                    authorization: self.authorization_endpoint.take(),
                    token: self.token_endpoint.take(),
                    userinfo: self.userinfo_endpoint.take(),
                    revocation: self.revocation_endpoint.take(),
                    end_session: self.end_session_endpoint.take(),
                    jwks_uri: self.jwks_uri.take(),
                },
            },
            cookies: Cookies { domain, keys: self.cookie_keys.take()?, expose: self.expose.take()? },
            session: Session {
                store: self.store.take()?,
                store_timeout: self.store_timeout.take()?,
                max_stale: self.max_stale.take()?,
                max_age: self.max_age.take()?,
                idle: self.idle.take().filter(|idle| !idle.is_zero()),
                sign_in_timeout: self.sign_in_timeout.take()?,
                refresh_margin: self.refresh_margin.take()?,
                per_user: self.per_user.take()?,
            },
            return_to: ReturnTo { default: self.return_default.take(), allow },
            policy: Policy {
                admission: Requirement::new(self.admit_groups.take()?, vec![], self.admit_email_domains.take()?),
                sites: PageRules::new(blocks.sites),
            },
            gateway: Gateway {
                header_style: self.header_style.take()?,
                forward_tokens: self.forward_tokens.take()?,
                preflights: self.preflights.take()?,
            },
            machine: Machine {
                pass_through: self.pass_through.take()?,
                recheck: self.recheck.take()?,
                cache_margin: self.cache_margin.take()?,
                clients: self.clients.take(),
                per_client: self.per_client.take()?,
                per_address: self.per_address.take()?,
                fetches_per_hour: self.fetches.take()?,
                price_per_1000: self.price.take()?,
                blocks: blocks.machine,
            },
            validate: Validate { check_revoked: self.check_revoked.take()? },
            profile: super::Profiles { writable: self.writable.take()? },
            pages: Pages { support: self.support.take() },
            telemetry: Telemetry { log: self.log.take()?, format: self.format.take()? },
        })
    }
}

fn endpoint(text: &str) -> Result<Url, Wrong> {
    let url = urls::secure_url(text, "codes and tokens would travel unprotected.")?;
    if url.fragment().is_some() {
        return Err(Wrong::new(
            format!("{} has a fragment, which is never sent to a server.", shown(text)),
            "Write the address without `#` and what follows it.",
        ));
    }
    Ok(url)
}
