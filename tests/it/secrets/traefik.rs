//! Traefik asks for a login whose digests it takes by reference.
//!
//! Neither Debian has it nor can it be built from its module, so its release binary is wanted.

use super::programs::login_status;
use crate::bench::Host;

/// What is added to vps1. Sources: "Install Configuration", "File" and "`BasicAuth`" of Traefik's reference, version 3.
pub(super) const TRAEFIK: &str = r#"
[secrets.values."edge/password"]
generate = "alnum:32"
[secrets.values."edge/users"]
generate = "htpasswd:me:edge/password"
[units.traefik]
exec = [
    "/usr/bin/traefik", "--entrypoints.web.address=127.0.0.1:8091", "--providers.file.filename=/usr/share/vps1/traefik.yaml",
    "--global.checknewversion=false", "--global.sendanonymoususage=false",
]
credentials = { users = { secret = "edge/users" } }
listen = ["127.0.0.1:8091"]
[files."/usr/share/vps1/traefik.yaml"]
text = """
http:
  routers:
    edge: { rule: "Host(`edge.example.org`)", middlewares: [login], service: hello }
  middlewares:
    login: { basicAuth: { usersFile: /run/credentials/traefik.service/users } }
  services:
    hello: { loadBalancer: { servers: [{ url: "http://127.0.0.1:8080" }] } }
"""
"#;

/// The site opens with its password and with no other.
pub(super) fn expect_login(host: &mut Host) {
    let mut status =
        |secret: &str| login_status(host, ("edge.example.org", 8091, secret), "/run/secrets");
    assert_eq!((status("edge/password"), status("site/password")), ("200".into(), "401".into()));
}
