# Sourced by ./demo, ./check and ./release, in the repository's root: finds a Python and keeps
# virtual environments. Needs a POSIX shell and nothing else. The caller sets `me`, its own name.
# shellcheck shell=sh
# shellcheck disable=SC2119,SC2120,SC2154 # find_python's argument is optional; `me` is the caller's

# What a caller's environment must not decide for our virtual environments.
unset PYTHONHOME PYTHONPATH PYTHONWARNINGS PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() {
    printf '%s: %s\n' "$me" "$*"
}

die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 1
}

# Run by every candidate, Python 2 included, so its syntax is the oldest there is. Prints
# "ok X.Y PATH", or "lacks X.Y PATH MODULES" if this Python cannot make the environment.
probe='
import sys
missing = []
if sys.version_info < (3, 11):
    sys.exit(1)
for name in ("venv", "ensurepip", "ssl", "sqlite3"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
found = "%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable)
print(("lacks " + found + " " + ",".join(missing)) if missing else ("ok " + found))
'

# Where pyenv keeps its versions: told, usual, or beside the shims on PATH. A shim exists for
# every version and fails for all that are not selected, so the versions are looked at directly.
pyenv_versions() (
    [ -z "${PYENV_ROOT:-}" ] || printf '%s\n' "$PYENV_ROOT/versions"
    [ -z "${HOME:-}" ] || printf '%s\n' "$HOME/.pyenv/versions"
    set -f
    IFS=:
    for entry in $PATH; do
        case $entry in
            */shims) printf '%s\n' "${entry%/shims}/versions" ;;
        esac
    done
)

# Every command that may be a Python of version $1 (X.Y), or any at all without $1, one a line.
candidates() {
    if [ -n "${1:-}" ]; then
        printf '%s\n' "python$1" python3
    else
        [ -z "${PYTHON:-}" ] || printf '%s\n' "$PYTHON"
        printf '%s\n' python3 python3.13 python3.12 python3.11 python
    fi
    pyenv_versions | while IFS= read -r versions; do
        for candidate in "$versions/${1:-3.1}"*/bin/python3; do
            [ ! -x "$candidate" ] || printf '%s\n' "$candidate"
        done
    done
}

# find_python [X.Y]: prints the probe's answer of the first candidate that will do, or else of
# the first that lacks something, or else nothing.
find_python() {
    candidates "${1:-}" | {
        lacking=
        while IFS= read -r candidate; do
            answer=$("$candidate" -c "$probe" </dev/null 2>/dev/null) || continue
            case $answer in
                "ok ${1:-}"*)
                    printf '%s\n' "$answer"
                    exit 0
                    ;;
                "lacks ${1:-}"*) lacking=${lacking:-$answer} ;;
            esac
        done
        printf '%s\n' "$lacking"
    }
}

# main_python: sets `python` to the path of a Python that can make the environment, or dies.
main_python() {
    answer=$(find_python)
    rest=${answer#* }
    version=${rest%% *}
    case $answer in
        ok*) python=${rest#* } ;;
        lacks*ensurepip*)
            die "Python $version cannot make virtual environments: install its venv package" \
                "(Debian, Ubuntu: apt-get install python$version-venv) and run this again"
            ;;
        lacks*) die "Python ${rest% *} was built without ${rest##* }: install a complete one" ;;
        *) die "no Python of version 3.11 or later found: install one, or set PYTHON to its path" ;;
    esac
}

# What an environment was made from: change any of it and the environment is brought up to date.
fingerprint() {
    cat pyproject.toml constraints.txt tools/environment.sh | cksum
}

python_of() {
    "$1/bin/python" -I -S -c 'import sys; print(sys.version)' 2>/dev/null || :
}

# stamp VENV: what the stamp must say, if nothing has changed or moved.
stamp() {
    printf '%s\n' "$PWD/$1" "$(python_of "$1")" "$(fingerprint)"
}

# is_current VENV EXTRAS: whether VENV already holds at least EXTRAS (core, test or dev).
is_current() {
    wanted=$(stamp "$1")
    case $2 in
        core) enough='core test dev' ;;
        test) enough='test dev' ;;
        *) enough=$2 ;;
    esac
    for extras in $enough; do
        [ ! -f "$1/made-$extras" ] || [ "$(cat "$1/made-$extras")" != "$wanted" ] || return 0
    done
    return 1
}

# is_sound VENV: whether what stands there can be brought up to date in place. One that was moved,
# lost its Python or was left half-made is made again.
is_sound() {
    [ ! -e "$1/unfinished" ] || return 1
    "$1/bin/python" -c 'import pip' 2>/dev/null || return 1
    for made in "$1"/made-*; do
        [ ! -f "$made" ] || [ "$(head -n 2 "$made")" = "$(stamp "$1" | head -n 2)" ] || return 1
    done
}

# prepare VENV EXTRAS [PYTHON]: makes VENV hold Headway and EXTRAS; at once if it does already.
prepare() {
    ! is_current "$1" "$2" || return 0
    if ! is_sound "$1"; then
        python=${3:-}
        [ -n "$python" ] || main_python
        say "making $1 with $("$python" -V) (once; under a minute)"
        rm -rf "$1" && mkdir "$1" && : >"$1/unfinished" && "$python" -m venv "$1" || return 1
    else
        say "bringing $1 up to date"
        : >"$1/unfinished" && rm -f "$1"/made-* || return 1
    fi
    case $2 in
        core) package=. ;;
        *) package=".[$2]" ;;
    esac
    # Given by the environment, the constraints hold for the build's own requirements too.
    PIP_CONSTRAINT=constraints.txt "$1/bin/python" -m pip install -qq --editable "$package" &&
        stamp "$1" >"$1/made-$2" &&
        rm "$1/unfinished"
}
