# The root shell of a test machine, on a virtio port. One request a line:
#   BOOT_ID REQUEST SECONDS BASE64_OF_THE_COMMAND
# and one answer a line:
#   answer REQUEST STATUS oBASE64_OF_STDOUT eBASE64_OF_THE_END_OF_STDERR
# Output goes through files, so that a process left behind in the background blocks nothing.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
place=/run/nexus-test
mkdir -p -m 700 "$place"
boot=$(cat /proc/sys/kernel/random/boot_id)
printf 'ready %s\n' "$boot"
while read -r for request seconds command; do
    [ "$for" = "$boot" ] || continue
    command=$(printf %s "$command" | base64 -d)
    timeout --kill-after=3 "$seconds" bash -euo pipefail -c "$command" \
        </dev/null >"$place/out" 2>"$place/err"
    status=$?
    printf 'answer %s %s o%s e%s\n' "$request" "$status" \
        "$(head -c 1048576 "$place/out" | base64 -w0)" "$(tail -c 16384 "$place/err" | base64 -w0)"
done
