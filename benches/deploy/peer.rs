//! The same change by Ansible: one template, the restart of its service, a check.
//!
//! The machine's `/usr` and `/etc` cannot be written to, so the peer gets a unit in `/run` and a page in `/var/lib`,
//! served by the same program that serves the page of vps1. Each run logs in anew, as each deployment does, and shares
//! one connection among its tasks, as is Ansible's default.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Took;
use crate::line::Line;
use crate::site::Site;

const PLAYBOOK: &str = "\
- hosts: all
  become: true
  gather_facts: FACTS
  tasks:
    - name: page
      ansible.builtin.template: { src: page.html.j2, dest: /var/lib/peer/index.html, mode: '0644' }
      notify: restart
  handlers:
    - name: restart
      ansible.builtin.systemd: { name: peer.service, state: restarted }
    - name: check
      listen: restart
      ansible.builtin.uri: { url: 'http://127.0.0.1:8081/', return_content: true }
      register: answer
      until: answer.status == 200 and page in answer.content
      retries: 50
      delay: 1
";
const TEMPLATE: &str = "<!doctype html>\n<title>peer</title>\n<p>{{ page }}</p>\n";
const UNIT: &str = "\
[Unit]
Description=Serves the page of the peer

[Service]
Type=exec
DynamicUser=yes
ExecStart=/usr/bin/busybox httpd -f -p 127.0.0.1:8081 -h /var/lib/peer
";

/// Ansible with its files.
pub(crate) struct Peer {
    directory: PathBuf,
    runs: u32,
}

impl Peer {
    /// Sets the machine and the files up.
    pub(crate) fn new(site: &Site, line: &Line) -> Self {
        let directory = site.directory.join("ansible");
        std::fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        for (name, facts) in [("usual.yml", "true"), ("fast.yml", "false")] {
            write(name, &PLAYBOOK.replace("FACTS", facts));
        }
        write("page.html.j2", TEMPLATE);
        let host = format!(
            "peer ansible_host=127.0.0.1 ansible_port={} ansible_user=admin ansible_ssh_private_key_file={} \
             ansible_python_interpreter=/usr/bin/python3\n",
            line.local.port(),
            site.key_file().display()
        );
        write("inventory", &host);
        let unit = "/run/systemd/system/peer.service";
        site.ask(&format!(
            "sudo mkdir -p /var/lib/peer && printf '%s' '{UNIT}' | sudo tee {unit} >/dev/null && \
             sudo systemctl daemon-reload && sudo systemctl start peer.service"
        ));
        Self { directory, runs: 0 }
    }

    /// Makes a change; `usual` with facts and one file a task, as a playbook has it when nothing is said.
    pub(crate) fn change(&mut self, site: &Site, usual: bool) -> Took {
        self.runs += 1;
        let page = format!("Page {} of the peer.", self.runs);
        let mut command = Command::new("ansible-playbook");
        command
            .current_dir(&self.directory)
            .args(["-i", "inventory", "-e"])
            .arg(serde_json::json!({ "page": page }).to_string())
            .arg(if usual { "usual.yml" } else { "fast.yml" })
            .env("HOME", &self.directory)
            .env("ANSIBLE_HOST_KEY_CHECKING", "false")
            .env("ANSIBLE_PIPELINING", if usual { "false" } else { "true" })
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.directory.join(format!("s{}", self.runs)))
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        let took = site.took(|| {
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("changed=2"), "ansible: {said}");
        });
        let found = site.ask("curl -sf http://127.0.0.1:8081/");
        assert!(found.contains(&page), "the page is {found}");
        took
    }
}
