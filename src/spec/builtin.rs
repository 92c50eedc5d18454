//! The modules that are shipped with the program, embedded.

/// Name and files of a module, with the files' texts.
macro_rules! module {
    ($name:literal: $($file:literal)*) => {
        ($name, &[$(($file, include_str!(concat!("../../modules/", $name, "/", $file)))),*])
    };
}

/// Name and files (name, text) of each built-in module, sorted; a test compares it with `modules/`.
pub const BUILT_IN: &[(&str, &[(&str, &str)])] = &[
    module!("backups": "backup.service.tera" "backup.sh.tera" "backup.timer.tera" "contribute.toml.tera" "environment.tera" "module.toml" "restic.tera" "restore.service.tera"),
    module!("checks": "contribute.toml.tera" "module.toml"),
    module!("files": "contribute.toml.tera" "module.toml"),
    module!("firewall": "consume.toml.tera" "contribute.toml.tera" "module.toml" "nftables.tera"),
    module!("host": "contribute.toml.tera" "hosts.tera" "module.toml"),
    module!("network": "contribute.toml.tera" "default.network.tera" "interface.network.tera" "module.toml" "resolved.conf.tera" "timesyncd.conf.tera" "wait-online.conf.tera"),
    module!("proxy": "Caddyfile.tera" "caddy.conf.tera" "consume.toml.tera" "contribute.toml.tera" "logins.tera" "module.toml"),
    module!("secrets": "contribute.toml.tera" "module.toml"),
    module!("units": "contribute.toml.tera" "environment.tera" "module.toml" "service.tera"),
    module!("users": "authorized_keys.tera" "contribute.toml.tera" "module.toml" "ssh-key.service.tera" "sshd.conf.tera"),
];
