//! Reads the items of a checked fragment into their types.
//!
//! The schema (`fragment.toml`) has checked every key and format, so reading cannot fail.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::secrets::{SecretDemand, SecretTemplate};
use super::system::{
    Deploy, DeployPolicy, Group, Interface, Mount, Port, Protocol, Route, Tls, Tmpfile, Unit, User,
};
use crate::health::Probe;
use crate::spec::{UnitName, UserName, Value};

const CHECKED: &str = "the schema of fragments checks it";

/// One item of a fragment.
#[derive(Clone, Copy)]
pub(super) struct Item<'v>(pub(super) &'v Value);

impl<'v> Item<'v> {
    pub(super) fn value(self, key: &str) -> &'v Value {
        self.0.get(key).expect(CHECKED)
    }

    pub(super) fn text(self, key: &str) -> &'v str {
        self.value(key).text().expect(CHECKED)
    }

    pub(super) fn optional(self, key: &str) -> Option<String> {
        self.value(key).text().map(str::to_owned)
    }

    pub(super) fn flag(self, key: &str) -> bool {
        self.value(key).is_true()
    }

    pub(super) fn texts(self, key: &str) -> Vec<String> {
        self.value(key).texts().map(str::to_owned).collect()
    }

    pub(super) fn map(self, key: &str) -> BTreeMap<String, String> {
        let pairs = self.value(key).pairs();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.text()?.to_owned()))).collect()
    }

    pub(super) fn number<T: TryFrom<i64>>(self, key: &str) -> Option<T> {
        self.value(key).integer().and_then(|number| T::try_from(number).ok())
    }

    pub(super) fn user(self, key: &str) -> Option<UserName> {
        self.value(key).text().map(|name| UserName::new(name).expect(CHECKED))
    }

    pub(super) fn address(self, key: &str) -> Option<IpAddr> {
        self.value(key).text().map(|text| text.parse().expect(CHECKED))
    }

    fn addresses(self, key: &str) -> Vec<IpAddr> {
        self.value(key).texts().map(|text| text.parse().expect(CHECKED)).collect()
    }

    pub(super) fn unit_name(self, key: &str) -> Option<UnitName> {
        self.value(key).text().map(|name| UnitName::new(name).expect(CHECKED))
    }

    fn unit_names(self, key: &str) -> BTreeSet<UnitName> {
        self.value(key).texts().map(|name| UnitName::new(name).expect(CHECKED)).collect()
    }

    pub(super) fn unit(self, text: Option<String>) -> Unit {
        Unit {
            text,
            dropins: BTreeMap::new(),
            wanted_by: self.unit_names("wanted_by"),
            required_by: self.unit_names("required_by"),
            aliases: self.unit_names("aliases"),
        }
    }

    pub(super) fn to_user(self) -> User {
        let groups = self.value("groups").texts();
        User {
            uid: self.number("uid"),
            group: self.user("group"),
            groups: groups.map(|name| UserName::new(name).expect(CHECKED)).collect(),
            home: self.text("home").to_owned(),
            shell: self.text("shell").to_owned(),
            comment: self.text("comment").to_owned(),
            system: self.flag("system"),
            ssh_keys: self.texts("ssh_keys"),
        }
    }

    pub(super) fn to_group(self) -> Group {
        Group { gid: self.number("gid"), system: self.flag("system") }
    }

    pub(super) fn to_port(self) -> Port {
        let protocol = if self.text("protocol") == "udp" { Protocol::Udp } else { Protocol::Tcp };
        Port {
            protocol,
            port: self.number("port").expect(CHECKED),
            address: self.address("address"),
            open: self.flag("open"),
            sources: self.texts("sources").into_iter().collect(),
            service: self.unit_name("service"),
            purpose: self.text("purpose").to_owned(),
        }
    }

    pub(super) fn to_route(self) -> Route {
        let tls = match self.text("tls") {
            "internal" => Tls::Internal,
            "off" => Tls::Off,
            _ => Tls::Acme,
        };
        Route {
            domain: self.text("domain").to_owned(),
            to: self.text("to").parse().expect(CHECKED),
            tls,
            headers: self.map("headers"),
        }
    }

    pub(super) fn to_interface(self) -> Interface {
        Interface {
            names: self.texts("names"),
            mac: self.optional("mac"),
            dhcp: self.flag("dhcp"),
            addresses: self.texts("addresses"),
            gateways: self.addresses("gateways"),
            dns: self.addresses("dns"),
        }
    }

    /// What a check looks at; the name of an option that its kind cannot do without as the error.
    pub(super) fn to_probe(self) -> Result<Probe, &'static str> {
        let needed = |key: &'static str| self.optional(key).ok_or(key);
        Ok(match self.text("kind") {
            "unit" => Probe::Unit { unit: needed("unit")? },
            "tcp" => {
                let port = self.number("port").ok_or("port")?;
                Probe::Tcp { address: self.address("address"), port }
            }
            "http" => Probe::Http {
                url: needed("url")?,
                status: self.number("status").expect(CHECKED),
                contains: self.optional("contains"),
            },
            "dns" => Probe::Dns { domain: needed("domain")?, address: self.address("address") },
            "mount" => Probe::Mount { path: needed("path")? },
            "disk" => {
                let path = needed("path")?;
                let free_bytes = self.number("free_bytes").unwrap_or(0);
                let free_percent = self.number("free_percent").unwrap_or(0);
                if free_bytes == 0 && free_percent == 0 {
                    return Err("free_bytes");
                }
                Probe::Disk { path, free_bytes, free_percent }
            }
            "clock" => Probe::Clock { seconds: self.number("seconds") },
            "certificate" => Probe::Certificate {
                path: needed("path")?,
                days: self.number("days").ok_or("days")?,
            },
            _ => match self.texts("exec") {
                exec if exec.is_empty() => return Err("exec"),
                exec => Probe::Command { exec },
            },
        })
    }

    pub(super) fn to_tmpfile(self) -> Tmpfile {
        Tmpfile {
            mode: self.number("mode"),
            user: self.user("user"),
            group: self.user("group"),
            age: self.optional("age"),
            argument: self.optional("argument"),
        }
    }

    pub(super) fn to_secret(self) -> SecretDemand {
        SecretDemand {
            generate: self.value("generate").text().map(|kind| kind.parse().expect(CHECKED)),
            never_rotate: self.flag("never_rotate"),
            owner: self.user("owner"),
            group: self.user("group"),
            mode: self.number("mode"),
            units: self.unit_names("units"),
            reload: self.flag("reload"),
            password_of: self.user("password_of"),
        }
    }

    pub(super) fn to_secret_template(self, text: String) -> SecretTemplate {
        SecretTemplate {
            text,
            owner: self.user("owner"),
            group: self.user("group"),
            mode: self.number("mode"),
            units: self.unit_names("units"),
            reload: self.flag("reload"),
        }
    }

    pub(super) fn to_deploy(self) -> Deploy {
        Deploy {
            ssh: self.texts("ssh").iter().map(|text| text.parse().expect(CHECKED)).collect(),
            host_keys: self.texts("host_keys"),
            window_seconds: self.number("window").expect(CHECKED),
            tags: self.texts("tags").into_iter().collect(),
            policy: DeployPolicy { live: self.flag("live"), soft_reboot: self.flag("soft_reboot") },
        }
    }

    pub(super) fn to_mount(self) -> Mount {
        Mount {
            what: self.text("what").to_owned(),
            kind: self.text("type").to_owned(),
            options: self.text("options").to_owned(),
        }
    }
}
