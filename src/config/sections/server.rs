//! `[server]`: the listeners, and the origin under which browsers know us.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::files::read_file;
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{duration, fine_duration, list, path, section, text, text_or_empty};
use crate::config::values::listen::{ListenAddress, listen_address, socket_addr};
use crate::config::values::urls::{self, PublicUrl};

section! {
    server: "Where the service listens, and the origin under which browsers know it.";
    ServerConfig / RawServer

    /// IP address and port of the public listener. `0.0.0.0:8080` for every interface, as in a container.
    /// Or a Unix socket, `unix:/run/auth-api/auth-api.sock`, for a proxy on this machine: its file has mode 0660, and who
    /// may open it is a trusted proxy.
    listen: ListenAddress = text(listen_address).default("127.0.0.1:8080");

    /// IP address and port for /livez, /readyz and /metrics, which are never on the public listener.
    /// Keep it off the internet. Empty ("") switches it off.
    ops_listen: Option<SocketAddr> = text_or_empty(ops_addr)
        .default("127.0.0.1:9090")
        .rule(|ops| listeners(&listen, ops));

    /// The origin that browsers use: scheme, host and port, nothing behind them. Every link and the callback that
    /// is registered at the provider are built from it; a wrong one fails as a redirect mismatch at sign-in.
    /// Plain http is for loopback names only: localhost, names below it, 127.0.0.0/8, `[::1]`.
    public_url: PublicUrl = text(urls::public_url).required("https://auth-api.example.com");

    /// How long /validate and /validate/browser take at most, whatever they wait for; then they answer 503.
    /// Less than the proxy in front of the sites waits for an answer.
    validate_timeout: Duration = fine_duration()
        .default("3s")
        .within(
            Duration::from_millis(100)..=Duration::from_secs(60),
            "Under 100ms a busy machine would refuse who is signed in; over a minute every site would hang with us.",
            "Write a time from `100ms` to `60s`; `3s` suits most.",
        );

    /// How long a connection without a request stays open. Longer than the proxy or load balancer in front keeps it
    /// (60 s for an AWS load balancer), or now and then it sends a request into a connection that is just being closed.
    idle_timeout: Duration = duration()
        .default("75s")
        .within(
            Duration::from_secs(15)..=Duration::from_secs(3_600),
            "Under 15s clients would connect anew for most requests; over an hour connections of clients that are gone would stay.",
            "Write a time from `15s` to `1h`; `75s` suits most.",
        );

    /// Addresses and networks of the proxies in front of this service ("10.0.0.0/8"): whose X-Forwarded-For is
    /// believed: the last address in it that is none of these is the visitor's, as the list of sessions shows it;
    /// and whose word about the page that is asked for is: X-Forwarded-Proto, -Host, -Uri and -Method, or
    /// X-Original-URL and -Method. While it is empty /validate/browser refuses to work over TCP.
    /// Name only what nobody else can connect from: others could claim any address and any page. Who connects over
    /// a Unix socket (listen) is trusted without an entry.
    trusted_proxies: Vec<IpNet> = list(proxy).default("");

    /// PEM certificate chain, leaf first, when this service ends TLS itself. Goes with tls_key_file.
    /// Without both, a proxy or load balancer in front has to end TLS.
    tls_cert_file: Option<PathBuf> = path().rule(|path| pem(path, "-----BEGIN CERTIFICATE-----", "PEM certificate"))
        .optional("tls/cert.pem")
        .reloads();

    /// PEM private key of that certificate.
    tls_key_file: Option<PathBuf> = path().rule(|path| pem(path, "PRIVATE KEY-----", "PEM private key"))
        .optional("tls/key.pem")
        .reloads();
}

impl ServerConfig {
    /// Certificate and key of the public listener; `None` when something in front of us ends TLS.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_cert_file.as_deref().zip(self.tls_key_file.as_deref())
    }

    /// Whether there can be a proxy whose word about a page is believed.
    pub fn has_trusted_proxies(&self) -> bool {
        self.listen.is_unix() || !self.trusted_proxies.is_empty()
    }
}

impl RawServer {
    /// TLS takes both files, an https origin, and TCP.
    pub(in crate::config) fn check(&self, reader: &mut ConfigReader) {
        let (cert, key) = (&self.tls_cert_file, &self.tls_key_file);
        let (Some(cert_path), Some(key_path)) = (cert.valid(), key.valid()) else { return };
        for (given, missing) in [(cert, "tls_key_file"), (key, "tls_cert_file")] {
            if given.valid().is_some_and(Option::is_some) && cert_path.is_some() != key_path.is_some() {
                let what = format!("This is given without server.{missing}, and TLS takes both, so it would stay off.");
                reader.report(
                    &given.at,
                    Err(Mistake::new(what, format!("Write server.{missing} too, or remove this key."))),
                );
            }
        }
        if self.listen.valid().is_some_and(ListenAddress::is_unix) {
            for file in [cert, key].into_iter().filter(|file| file.valid().is_some_and(Option::is_some)) {
                let what = format!("{} is a Unix socket, and no proxy speaks TLS over one.", self.listen.at);
                let instead = "Remove the two tls keys: the proxy ends TLS. Or listen on an IP address and a port.";
                reader.report(&file.at, Err(Mistake::new(what, instead)));
            }
        }
        if let (Some(_), Some(public_url)) = (cert_path.as_ref().or(key_path.as_ref()), self.public_url.valid())
            && !public_url.is_https()
        {
            let at = if cert_path.is_some() { &cert.at } else { &key.at };
            let what =
                format!("With a certificate the listener speaks https, but {} is {public_url}.", self.public_url.at);
            let instead = "Write https:// in server.public_url, or remove the two tls keys.";
            reader.report(at, Err(Mistake::new(what, instead)));
        }
    }
}

fn listeners(public: &Field<ListenAddress>, ops: &Option<SocketAddr>) -> Result<(), Mistake> {
    let (Some(ListenAddress::Ip(address)), Some(ops)) = (public.valid(), ops) else {
        return Ok(());
    };
    Mistake::unless(
        !collide(address, ops),
        format!("{ops} and {} ({address}) claim the same port, so one of the two could not listen.", public.at),
        "Give the ops listener another port, or write \"\" to switch it off.",
    )
}

fn collide(a: &SocketAddr, b: &SocketAddr) -> bool {
    let every = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
    let (x, y) = (a.ip(), b.ip());
    a.port() == b.port() && a.port() != 0 && (x == y || every(x, y) || every(y, x))
}

fn pem(path: &Path, label: &str, what: &str) -> Result<(), Mistake> {
    Mistake::unless(
        read_file(path)?.contains(label),
        format!("The file {} holds no {what}, so no browser could connect.", path.display()),
        "Name a PEM file with the right content; certificate and key are easily swapped.",
    )
}

/// One entry of `server.trusted_proxies`: an address, or a network in CIDR notation.
fn proxy(text: &str) -> Result<IpNet, Mistake> {
    let instead = "Write an address, `10.0.0.7`, or a network, `10.0.0.0/8`.";
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(net) = parsed else {
        return Err(Mistake::new(format!("{} is neither an IP address nor a network of them.", shown(text)), instead));
    };
    if net.prefix_len() == 0 {
        return Err(Mistake::new(
            format!("{} is everybody, which would let anybody claim any address.", shown(text)),
            "Write only the networks that your own proxies connect from.",
        ));
    }
    if matches!(net.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Mistake::new(
            format!(
                "{} is an IPv4 address written as IPv6; visitors are compared as IPv4, so it would never fit.",
                shown(text)
            ),
            instead,
        ));
    }
    if net.addr() != net.network() {
        return Err(Mistake::new(
            format!("{} is an address within a network; it could mean either.", shown(text)),
            format!("Write `{}` for the network or `{}` for the address.", net.trunc(), net.addr()),
        ));
    }
    Ok(net)
}

/// `""` switches the ops listener off.
fn ops_addr(text: &str) -> Result<Option<SocketAddr>, Mistake> {
    if text.is_empty() { Ok(None) } else { socket_addr(text).map(Some) }
}
