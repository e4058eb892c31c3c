#!/bin/sh
# Run a program of an unpacked package as if it were installed: enclose.sh PACKAGE BASE PROGRAM...
#
# To be the first process of new mount and PID namespaces (unshare), so that nobody else sees the
# mounts, and all ends with it. The package lies over the host's /usr and BASE's files over /etc;
# /var and /run are BASE's own.
set -eu
package=$1 base=$2
shift 2
# What other tests have mounted just now was copied as well, and would be in use as long as we run.
while read -r device place _; do
    case $device in
    /dev/loop*) umount --lazy "$place" ;;
    esac
done </proc/self/mounts
mount -t overlay overlay -o "ro,lowerdir=$package/usr:/usr" /usr
mount -t overlay overlay -o "ro,lowerdir=$base/etc:$package/etc:/etc" /etc
mount --bind "$base/run" /run
mount --bind "$base/var" /var
cd /
"$@" &
wait
