//! Tailscale joins its network with a key that it takes by reference.
//!
//! Debian has no package of it: the real programs and the control server of its own tests are built from the Go module
//! and come as a vendor's package.

use std::path::{Path, PathBuf};

use super::programs::refuses;
use crate::bench::{Host, LONG};
use crate::go;
use crate::vendor::Vendor;

/// Later ones need a newer Go.
const VERSION: &str = "1.102.5";
const CONTROL: &str = "Package: tailscale
Version: 1.102.5
Architecture: amd64
Maintainer: Vendor <vendor@example.org>
Description: joins machines to a network
";
/// Lets in who has the key of a file, and holds all it knows in memory.
const SERVER: &str = r#"package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

func main() {
	key, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	server := &testcontrol.Server{
		ExplicitBaseURL: "http://" + os.Args[1],
		DERPMap:         relay(),
		RequireAuthKey:  strings.TrimSpace(string(key)),
	}
	log.Fatal(http.ListenAndServe(os.Args[1], server))
}

// Clients count as connected once they reach one.
func relay() *tailcfg.DERPMap {
	relay := httptest.NewUnstartedServer(derpserver.Handler(derpserver.New(key.NewNode(), logger.Discard)))
	relay.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	relay.StartTLS()
	stun := stunserver.New(context.Background())
	if err := stun.Listen("127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	go stun.Serve()
	node := &tailcfg.DERPNode{
		Name: "1", RegionID: 1, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none",
		DERPPort: relay.Listener.Addr().(*net.TCPAddr).Port, STUNPort: stun.LocalAddr().(*net.UDPAddr).Port,
		STUNTestIP: "127.0.0.1", InsecureForTests: true,
	}
	region := &tailcfg.DERPRegion{RegionID: 1, RegionCode: "test", Nodes: []*tailcfg.DERPNode{node}}
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: region}}
}
"#;
/// What is added to vps1: the server, the program, and a unit that joins.
pub(super) const TAILNET: &str = r#"
[secrets.values."net/key"]
generate = "alnum:48"
[units.net-control]
packages = ["tailscale"]
exec = ["/usr/sbin/tailscale-control", "127.0.0.1:8090", "/run/credentials/net-control.service/key"]
credentials = { key = { secret = "net/key" } }
listen = ["127.0.0.1:8090"]
[units.tailscaled]
type = "notify"
user = "root"
exec = [
    "/usr/sbin/tailscaled", "--no-logs-no-support", "--tun=userspace-networking", "--port=0",
    "--statedir=/var/lib/tailscaled", "--socket=/var/lib/tailscaled/socket",
]
state = true
address_families = ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"]
[units.net-join]
type = "oneshot"
remain_after_exit = true
user = "root"
requires = ["tailscaled.service", "net-control.service"]
exec = [
    "/usr/bin/tailscale", "--socket=/var/lib/tailscaled/socket", "up", "--login-server=http://127.0.0.1:8090",
    "--force-reauth", "--auth-key=file:/run/credentials/net-join.service/key", "--timeout=2m",
]
credentials = { key = { secret = "net/key" } }
"#;
const TAILSCALE: &str = "tailscale --socket=/var/lib/tailscaled/socket";

/// The archive that has it, and some other programs, by their path in the package.
pub(super) fn vendor(others: &[(&str, &Path)]) -> Vendor {
    let folder = programs();
    let [daemon, client, server] =
        ["tailscaled", "tailscale", "control"].map(|name| folder.join(name));
    let own = [
        ("usr/sbin/tailscaled", &*daemon),
        ("usr/bin/tailscale", &*client),
        ("usr/sbin/tailscale-control", &*server),
    ];
    Vendor::new(CONTROL, &[&own, others].concat())
}

/// The real programs, and the server made of the module's own parts.
fn programs() -> PathBuf {
    let built = go::built(&format!("tailscale-{VERSION}"), |folder: &Path| {
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            nexus_host::exec::files::write_atomic(&path, text.as_bytes()).unwrap();
        };
        write(
            "go.mod",
            &format!("module programs\n\ngo 1.26\n\nrequire tailscale.com v{VERSION}\n"),
        );
        write("control/main.go", SERVER);
        let build = "build -trimpath -ldflags=-s -tags=ts_omit_aws,ts_omit_kube -o bin/ ./control";
        let programs = ["tailscale.com/cmd/tailscale", "tailscale.com/cmd/tailscaled"];
        build.split(' ').chain(programs).map(str::to_owned).collect()
    });
    built.join("bin")
}

/// It has joined with the key that lies in `/run/secrets`; with another one it cannot. `old` has the last one.
pub(super) fn expect_joined(host: &mut Host, old: Option<&str>) {
    let joined =
        format!("{TAILSCALE} status --json --peers=false | grep '\"BackendState\": \"Running\"'");
    host.machine.shell().wait_until_succeeds(&joined, LONG).unwrap();
    let key = old.map_or("/run/secrets/box/token".to_owned(), |old| format!("{old}/net/key"));
    let up =
        format!("{TAILSCALE} up --login-server=http://127.0.0.1:8090 --force-reauth --timeout=2m");
    refuses(host, &format!("{up} --auth-key=file:{key}"), "invalid authkey");
    // The daemon may say once more what it was told of the other key.
    let up = format!("{up} --auth-key=file:/run/secrets/net/key");
    host.machine.shell().wait_until_succeeds(&up, LONG).unwrap();
    host.machine.shell().wait_until_succeeds(&joined, LONG).unwrap();
}
