"""Make .venv and install textmill in it. Runs on any Python 3, so that an old one gets an answer.

    python3 tools/install.py [--test] [--torch-index URL]

Before anything large is fetched it says which torch will be installed and how large the downloads are.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
NEEDED = (3, 11)


def fail(text):
    sys.stderr.write("error: " + text + "\n")
    sys.exit(2)


def check_python():
    """A Python that is too old, or has no venv, is answered with the command that mends it."""
    if sys.version_info < NEEDED:
        newer = "brew install python@3.12" if sys.platform == "darwin" else "sudo apt install python3.12 python3.12-venv"
        if os.name == "nt":
            newer = "winget install Python.Python.3.12"
        fail(
            "textmill needs Python %d.%d or newer; %s is %d.%d. Install one, for example with\n    %s\n"
            "and start again with it: python3.12 tools/install.py, or make quickstart PYTHON=python3.12"
            % (NEEDED + (sys.executable,) + sys.version_info[:2] + (newer,))
        )
    try:
        import ensurepip
        import venv
    except ImportError:
        fail(
            "this Python has no venv, which Debian and Ubuntu pack apart. Install it with\n"
            "    sudo apt install python%d.%d-venv\nand start again." % sys.version_info[:2]
        )


def venv_python():
    return os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")


def size_of(url):
    """Bytes of a file to be fetched, or None where the server doesn't say."""
    try:
        if url.startswith("file://"):
            return os.path.getsize(urllib.request.url2pathname(url[len("file://") :]))
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.headers["Content-Length"])
    except Exception:  # a figure for information only
        return None


def announce_torch(pip_arguments):
    """Say which torch comes and how large it is, from pip's own resolution."""
    command = [venv_python(), "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *pip_arguments, "torch"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        packages = json.loads(answer.stdout.decode("utf-8"))["install"]
    except ValueError:
        return
    if not packages:
        return
    torch = [package["metadata"]["version"] for package in packages if package["metadata"]["name"] == "torch"]
    sizes = [size_of(package["download_info"]["url"]) for package in packages]
    known = sum(size for size in sizes if size)
    cuda = [p for p in packages if p["metadata"]["name"].startswith(("nvidia", "cuda", "triton"))]
    total = "%.1f GB" % (known / 1e9) if known >= 1e9 else "%.0f MB" % (known / 1e6)
    if None in sizes:
        total += " at least"
    print("torch %s and what it needs: %d packages, %s to fetch" % ("".join(torch), len(packages), total))
    if cuda:
        print(
            "  %d of them are for NVIDIA GPUs. Without such a GPU, stop here (Ctrl-C) and take the CPU build:\n"
            "    make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu\n"
            "    %s tools/install.py --torch-index https://download.pytorch.org/whl/cpu   (the same without make)"
            % (len(cuda), os.path.basename(sys.executable))
        )
    sys.stdout.flush()


def install(what, pip_arguments):
    """`pip install -e` in a UTF-8 locale: setuptools writes the folder's name in the locale's encoding, if it can."""
    command = [venv_python(), "-m", "pip", "install", "--quiet", *pip_arguments, "-e", what]
    return subprocess.call(command, cwd=ROOT, env=dict(os.environ, LC_ALL="C.UTF-8"))


def point_at_sources():
    """Give the environment the way to src/ from its own place instead of from the root.

    Before 3.13 Python reads this file in the locale's encoding and doesn't start when it can't: cron, ssh or a container with
    LC_ALL=C would end every program of a clone in a folder named 文档. The relative way is ASCII whatever the folder's name.
    """
    for name in glob.glob(os.path.join(glob.escape(VENV), "[Ll]ib", "**", "__editable__.textmill-*.pth"), recursive=True):
        way = os.path.relpath(os.path.join(ROOT, "src"), os.path.dirname(name))
        with open(name, "w", encoding="ascii") as file:
            file.write(way + "\n")


def main():
    parser = argparse.ArgumentParser(description="Make .venv and install textmill in it.")
    parser.add_argument("--test", action="store_true", help="also what the tests need")
    parser.add_argument("--torch-index", default="", help="a further package index to take torch from")
    arguments = parser.parse_args()
    check_python()
    sound = os.path.exists(venv_python()) and not subprocess.call(
        [venv_python(), "-m", "pip", "--version"], stdout=subprocess.DEVNULL
    )
    if not sound:
        print("Making .venv with Python %d.%d" % sys.version_info[:2])
        if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]):
            fail("%s could not be made; is the disk full, or the folder not yours?" % VENV)
    pip_arguments = ["--disable-pip-version-check", "-c", "constraints.txt"]
    if arguments.torch_index:
        pip_arguments += ["--extra-index-url", arguments.torch_index]
    announce_torch(pip_arguments)
    what = ".[test]" if arguments.test else "."
    if install(what, pip_arguments):
        fail(
            "pip could not install textmill; its message stands above. Without a network nothing can be fetched.\n"
            "Behind a company's firewall pip takes its mirror from PIP_INDEX_URL, its proxy from HTTPS_PROXY."
        )
    point_at_sources()
    textmill = os.path.relpath(os.path.join(os.path.dirname(venv_python()), "textmill"), ROOT)
    print("textmill is installed. Next, in its folder:")
    print("    %s doctor                             what this machine can do, in a minute" % textmill)
    print("    %s run recipes/wikipedia-sample.toml  the whole life of a small model, in ten" % textmill)


if __name__ == "__main__":
    main()
