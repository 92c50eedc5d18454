# Asks a machine what it is. Each answer is a line `@NAME` and then its lines, each behind a space. Reads
# only; needs nothing but a shell, coreutils and iproute2.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
say() { printf '@%s\n' "$1"; shift; "$@" 2>/dev/null | head -c 262144 | sed 's/^/ /'; echo; }
disks() {
    for d in /sys/class/block/*; do
        printf '%s %s %s %s %s %s %s %s\n' "${d##*/}" "$(cat "$d/size")" "$(cat "$d/dev")" \
            "$(cat "$d/ro")" "$(cat "$d/removable" || echo -)" \
            "$(test -e "$d/partition" && basename "$(dirname "$(readlink -f "$d")")" || echo -)" \
            "$(test -e "$d/device" && echo real || echo virtual)" \
            "$(echo $(ls "$d/slaves") | tr ' ' ,)"
    done
}
config() {
    grep -h '^CONFIG_KEXEC_FILE=' "/boot/config-$(uname -r)" "/lib/modules/$(uname -r)/config" ||
        zcat /proc/config.gz | grep '^CONFIG_KEXEC_FILE='
}
dns() { cat /run/systemd/resolve/resolv.conf || cat /etc/resolv.conf; }
say user id -u
say machine uname -m
say kernel uname -r
say system cat /etc/os-release
say init readlink -f /run/systemd/system
say container systemd-detect-virt --container
say memory cat /proc/meminfo
say efi ls -d /sys/firmware/efi
say secure-boot od -An -t u1 -j 4 -N 1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
say lockdown cat /sys/kernel/security/lockdown
say kexec-disabled cat /proc/sys/kernel/kexec_load_disabled
say kexec-config config
say command-line cat /proc/cmdline
say mounts cat /proc/self/mountinfo
say disks disks
say addresses ip -j address
say routes ip -j -4 route
say routes6 ip -j -6 route
say dns dns
say keys cat /etc/ssh/ssh_host_ed25519_key.pub
say boot cat /proc/sys/kernel/random/boot_id
echo @end
