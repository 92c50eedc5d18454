//! Proxies: what the environment says, and the way in which plain HTTP goes through one.
//!
//! ureq opens a tunnel (`CONNECT`) through a proxy for everything. Many proxies, among them squid as
//! it is installed and the caches made for apt, allow that for port 443 alone and expect plain HTTP
//! as RFC 9112, section 3.2.2 describes: connect to the proxy, and ask it for the whole address.
//! [`ToProxy`] and [`AbsoluteForm`] do that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use thiserror::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::lock;
use crate::debian::url::{Scheme, Url, UrlError};
use crate::exec::environment::Environment;

/// Which proxies to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For addresses with `http`.
    pub http: Option<Url>,
    /// For addresses with `https`.
    pub https: Option<Url>,
    /// Hosts that are reached directly: a name, or a domain with all below it; `*` for all.
    pub direct: Vec<String>,
}

/// A variable that names no proxy we can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("variable {variable} does not name a proxy")]
pub struct ProxyError {
    /// The variable.
    pub variable: &'static str,
    /// Why not.
    #[source]
    pub source: UrlError,
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, lower case before upper case.
    ///
    /// # Errors
    ///
    /// A proxy of another kind than HTTP, or a malformed one.
    pub fn of_environment(environment: &Environment) -> Result<Self, ProxyError> {
        let first = |names: &[&'static str]| {
            let named = names.iter().find_map(|name| Some((*name, environment.text(name)?)));
            named.map(|(variable, text)| parse_proxy(variable, text)).transpose()
        };
        let direct = environment.text("no_proxy").or_else(|| environment.text("NO_PROXY"));
        let words = direct.unwrap_or("").split([',', ' ']).filter(|word| !word.is_empty());
        Ok(Self {
            http: first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            direct: words.map(str::to_ascii_lowercase).collect(),
        })
    }

    /// Whether `url` is reached without proxy.
    pub fn is_direct(&self, url: &Url) -> bool {
        let host = url.host();
        self.direct.iter().any(|entry| {
            let entry = entry.trim_start_matches("*.").trim_start_matches('.');
            let below = host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'));
            entry == "*" || entry == host || entry == url.authority() || below
        })
    }
}

fn parse_proxy(variable: &'static str, text: &str) -> Result<Url, ProxyError> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let fail = |source| ProxyError { variable, source };
    let url: Url = with_scheme.parse().map_err(fail)?;
    if url.scheme() == Scheme::File {
        return Err(fail(UrlError::Scheme { text: url.to_string() }));
    }
    Ok(url)
}

/// Finds addresses of hosts and tells a name without address from other failures.
///
/// ureq asks for each request anew. Name servers drop some of a few hundred questions at once, and
/// each lost one costs five seconds; so each name is asked for once, by one thread, and kept.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The proxy to which every name leads.
    proxy: Option<Uri>,
    /// By host and port.
    known: Mutex<BTreeMap<String, Arc<Mutex<Option<ResolvedSocketAddrs>>>>>,
}

impl Names {
    /// Every name leads to `proxy`.
    pub(super) fn of_proxy(proxy: Option<Uri>) -> Self {
        Self { proxy, known: Mutex::default() }
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.proxy.as_ref().unwrap_or(uri);
        let name = uri.authority().map_or("", |authority| authority.as_str()).to_owned();
        let scheme = uri.scheme_str().unwrap_or("");
        let entry = Arc::clone(lock(&self.known).entry(format!("{scheme}://{name}")).or_default());
        let mut known = lock(&entry);
        if let Some(addresses) = known.as_ref() {
            return Ok(addresses.clone());
        }
        match DefaultResolver::default().resolve(uri, config, timeout) {
            Err(ureq::Error::Io(_)) => Err(ureq::Error::HostNotFound),
            Err(other) => Err(other),
            Ok(addresses) => Ok(known.insert(addresses).clone()),
        }
    }
}

/// Makes each request that passes name the whole address, as a proxy for plain HTTP expects.
#[derive(Debug)]
pub(super) struct ToProxy;

impl<In: Transport> Connector<In> for ToProxy {
    type Out = AbsoluteForm<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let authority = details.uri.authority().map_or("", |authority| authority.as_str());
        let prefix = format!("http://{}", authority.rsplit('@').next().unwrap_or(""));
        Ok(chained.map(|inner| AbsoluteForm { inner, prefix }))
    }
}

/// A connection to a proxy for plain HTTP.
#[derive(Debug)]
pub(super) struct AbsoluteForm<In> {
    inner: In,
    /// Scheme and host that go before the path.
    prefix: String,
}

impl<In: Transport> Transport for AbsoluteForm<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        const METHOD: &[u8] = b"GET ";
        let prefix = self.prefix.as_bytes();
        let output = self.inner.buffers().output();
        // A request head is sent in one piece: it is far smaller than the buffer.
        let is_head = output[..amount].starts_with(b"GET /");
        if !is_head || amount + prefix.len() > output.len() {
            return self.inner.transmit_output(amount, timeout);
        }
        output.copy_within(METHOD.len()..amount, METHOD.len() + prefix.len());
        output[METHOD.len()..METHOD.len() + prefix.len()].copy_from_slice(prefix);
        self.inner.transmit_output(amount + prefix.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

#[cfg(test)]
mod tests;
