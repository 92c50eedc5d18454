#!/bin/sh
# A machine on the kernel that runs this, in namespaces of its own: what nexus-init does, without disks and drivers.
#
#   here.sh start DIRECTORY SYSTEM CGROUP   enters CGROUP and the namespaces
#   here.sh init  DIRECTORY SYSTEM          is there the first process, and becomes systemd
#
# DIRECTORY/disk is the root partition; SYSTEM the last part of its system's path.
set -eu
word=$1 directory=$2 system=$3
disk=$directory/disk root=$directory/root names=$directory/names

if [ "$word" = start ]; then
    mkdir -p "$root" "$names" "$4"
    echo $$ > "$4/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup "$0" init "$directory" "$system"
fi

mount --make-rprivate /
mount -t tmpfs -o mode=0755 nexus-root "$root"
cd "$root"
mkdir boot dev efi etc media mnt proc run sys tmp usr nix var home root srv
chmod 1777 tmp
for name in bin lib lib64 sbin; do ln -s usr/$name $name; done
ln -s usr/lib/opt opt
for name in nix var home root srv; do mount --bind "$disk/$name" $name; done
for part in usr etc; do
    mount -t erofs -o ro "$disk/nix/store/$system/$part.erofs" "$names"
    mount -t overlay -o "ro,metacopy=on,redirect_dir=on,lowerdir=$names::$disk/nix/store" nexus-system $part
    umount -l "$names"
done
mount --bind "$disk/var/lib/nexus-host/machine-id" etc/machine-id

mount -t proc proc proc
mount --bind "$directory/cmdline" proc/cmdline
# Read-only, so that nobody there looks for devices.
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 run run
mount -t tmpfs -o mode=0755 dev dev
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
# Nodes of its own, numbered as in `Documentation/admin-guide/devices.txt` of Linux; what goes to the console and the
# kernel's log goes nowhere.
for node in null,3 zero,5 full,7 random,8 urandom,9 console,3 kmsg,3; do
    mknod -m 666 "dev/${node%,*}" c 1 "${node#*,}"
done
mknod -m 666 dev/tty c 5 0
ip link set lo up

mount -o remount,ro "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=nexus /usr/lib/systemd/systemd systemd.mask=console-getty.service
