# What a machine needs before Orchestry can run on it: packages, a virtual environment, an Engine that answers.
# Sourced by deploy/quickstart and deploy/test with `set -eu` in force and the project's root as working directory.
# Every function looks first and does nothing where nothing is missing. It never stops, restarts or reconfigures a
# service of the machine, and never upgrades a package that is already there.
# shellcheck shell=sh

PATH=$PATH:/usr/sbin:/sbin
engine_log=/var/log/orchestry-dockerd.log
engine_patience_seconds=60
engine_pid= # of the dockerd that we started; empty where an Engine answered already or systemd runs it

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$@"
    exit 1
}

lacks() { ! command -v "$1" >/dev/null 2>&1; }

runs_systemd() { [ -d /run/systemd/system ]; }

# quietly COMMAND...: its output is worth reading only where it fails.
quietly() {
    output=$(mktemp)
    status=0
    "$@" >"$output" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || cat "$output" >&2
    rm -f "$output"
    return "$status"
}

# --- packages ---

# What the virtual environment and the pure tests need, as far as this machine lacks it; one package a line. Where a
# package's name depends on the distribution's version, the line has all of them, "newer|older".
missing_for_environment() {
    if lacks python3; then echo python3; fi
    if ! can_make_environments; then echo python3-venv; fi
    if lacks git; then echo git; fi
    if lacks ps; then echo procps; fi # GitPython ends a fetch that hangs by the processes that ps lists
}

# What `orchestry run` with an nginx of its own and the demo image need on top.
missing_for_running() {
    if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then echo ca-certificates; fi
    if lacks gcc; then echo gcc; fi
    if [ ! -e /usr/include/stdio.h ]; then echo libc6-dev; fi
    if lacks nginx; then echo nginx; fi
    if ! engine_answers; then missing_for_an_engine; fi
}

missing_for_an_engine() {
    if lacks dockerd; then echo docker.io; fi
    if lacks docker; then echo 'docker-cli|docker.io'; fi # a package of its own since Debian 13
    if grep -qs Y /sys/module/apparmor/parameters/enabled && lacks apparmor_parser; then echo apparmor; fi
}

# What the tests use on top: real servers to test against, a static busybox for images, a load generator.
missing_for_tests() {
    if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then echo postgresql; fi
    if lacks prometheus; then echo prometheus; fi
    if lacks docker-registry; then echo docker-registry; fi
    if lacks busybox; then echo busybox-static; fi
    if lacks wrk; then echo wrk; fi
}

# Debian's own python3 can't make one with pip in it before python3-venv is there.
can_make_environments() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# install_missing LIST...: what is missing of the lists above.
install_missing() {
    # shellcheck disable=SC2046 # one package a word
    set -- $(for list in "$@"; do "missing_for_$list"; done)
    [ $# -gt 0 ] || return 0
    if lacks apt-get; then fail "missing: $*. Only apt-get is known here: install them your way, then try again"; fi
    if [ "$(id -u)" = 0 ]; then
        quietly apt-get -qq -o Acquire::Retries=3 update || say "going on with the lists of packages there are"
    fi
    # shellcheck disable=SC2046 # one package a word
    set -- $(for names in "$@"; do known_package "$names"; done | sort -u)
    [ "$(id -u)" = 0 ] || fail "missing: $*. Run this as root once, or: sudo apt-get install $*"
    say "installing $*"
    quietly install_without_starting "$@" || fail "apt-get could not install $*"
}

# known_package NAME[|NAME...]: the first that can be installed here, or else the last, for apt-get to complain about.
known_package() {
    for name in $(echo "$1" | tr '|' ' '); do
        if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then break; fi
    done
    echo "$name"
}

# Replica changes without an nginx reload need nginx's Lua module. Worth having, and nothing to fail for: an nginx
# from elsewhere can't load the distribution's.
install_lua_module() {
    [ ! -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] && [ "$(id -u)" = 0 ] || return 0
    apt-cache show libnginx-mod-http-lua >/dev/null 2>&1 || return 0
    say "installing libnginx-mod-http-lua"
    install_without_starting libnginx-mod-http-lua >/dev/null 2>&1 </dev/null ||
        say "this nginx can't have the Lua module: it will be reloaded where replicas change"
}

# Debian starts the services of what it installs: nginx would take port 80, PostgreSQL 5432, and nobody asked for
# that. So services are held back meanwhile, by Debian's own means, and those we brought stay off at boot.
install_without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
        install --yes --no-install-recommends --no-upgrade --no-remove "$@" || exit
    runs_systemd || exit 0
    for name in "$@"; do
        case $name in nginx | postgresql | prometheus | docker-registry) systemctl disable --quiet "$name" || true ;; esac
    done
)

# --- the virtual environment ---

# make_environment NAME: .venv/ with deploy/NAME.txt, hash by hash, and the project itself. The stamp names what it
# was made from, so that nothing is done where nothing changed.
make_environment() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "python3 is $(python3 -V 2>&1), and Orchestry needs Python 3.11 or newer, first on the PATH as python3"
    stamp=.venv/.made-from-$1
    made_from=$(cat "deploy/$1.txt" setup.cfg pyproject.toml reconciler/__init__.py | sha256sum)
    if environment_works && [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ]; then return; fi
    say "making .venv/ from deploy/$1.txt"
    environment_works || quietly python3 -m venv --clear .venv || fail "python3 could not make .venv/"
    pip_install --require-hashes --requirement "deploy/$1.txt"
    pip_install --no-deps --no-build-isolation --editable .
    echo "$made_from" >"$stamp"
}

# False also where the tree was moved, or the machine's Python replaced, after .venv/ was made.
environment_works() {
    grep -qsF "$(pwd -P)/.venv/bin/python" .venv/bin/pip && .venv/bin/python -c 'import pip' 2>/dev/null
}

pip_install() {
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" || fail "pip could not install: $*"
}

# --- the Engine ---

engine_answers() { docker version >/dev/null 2>&1; }

# What docker's own command has to say where no Engine answers.
engine_complaint() { docker version 2>&1 | tail -n 1; }

# Start dockerd where no Engine answers. It goes on running, as the containers it holds do; who wants it to end
# finds its process id in $engine_pid.
start_engine() {
    if lacks docker; then fail "no docker command to ask an Engine with: install it (since Debian 13 the package docker-cli)"; fi
    if engine_answers; then return; fi
    [ -z "${DOCKER_HOST:-}" ] || fail "no Engine answers at DOCKER_HOST=$DOCKER_HOST: $(engine_complaint)"
    [ "$(id -u)" = 0 ] || fail "no Engine answers $(id -un): $(engine_complaint)"
    say "starting the Docker Engine"
    if runs_systemd; then
        quietly systemctl start docker || fail "systemctl could not start docker; its log: journalctl -u docker"
    elif ! dockerd_runs; then
        if ! has_cgroups; then mount_cgroups; fi
        setsid dockerd >>"$engine_log" 2>&1 </dev/null &
        engine_pid=$!
    fi
    wait_for_engine
}

dockerd_runs() { kill -0 "$(cat /var/run/docker.pid 2>/dev/null)" 2>/dev/null; }

has_cgroups() { [ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ]; }

# What systemd would have done at boot: the one hierarchy of version 2. Where the kernel's controllers are taken by
# hierarchies of version 1, all of those: of a container in one that is not mounted, containerd tells no memory shortage.
mount_cgroups() {
    quietly mount -t cgroup2 cgroup2 /sys/fs/cgroup || fail "no control groups, and they can't be mounted here"
    if grep -qw memory /sys/fs/cgroup/cgroup.controllers; then return; fi
    umount /sys/fs/cgroup
    mount -t tmpfs -o mode=0755 cgroups /sys/fs/cgroup
    while IFS=: read -r number controllers _; do
        [ "$number" != 0 ] || continue # version 2
        directory=/sys/fs/cgroup/${controllers#name=}
        case $controllers in name=*) controllers=none,$controllers ;; esac
        mkdir "$directory"
        quietly mount -t cgroup -o "$controllers" cgroup "$directory" || fail "could not mount $directory"
    done </proc/self/cgroup
    has_cgroups || fail "no control group for memory, which the Engine needs: is it switched off in this kernel?"
}

wait_for_engine() {
    tries_left=$((engine_patience_seconds * 5))
    until engine_answers; do
        tries_left=$((tries_left - 1))
        if [ -n "$engine_pid" ] && ! kill -0 "$engine_pid" 2>/dev/null; then engine_fails "dockerd ended at once"; fi
        [ "$tries_left" -gt 0 ] || engine_fails "no Engine answers after $engine_patience_seconds s: $(engine_complaint)"
        sleep 0.2
    done
}

engine_fails() {
    [ -n "$engine_pid" ] || fail "$*"
    tail -n 20 "$engine_log" >&2
    fail "$*; its log: $engine_log"
}

# stop_engine: only the one that we started, and nobody else's.
stop_engine() {
    [ -n "$engine_pid" ] || return 0
    kill -TERM "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    engine_pid=
}
