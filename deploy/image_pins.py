"""Images by digest in docker-compose.yml and Dockerfile: write what the registry says of each tag, or check.

    python deploy/image_pins.py           ask the registry (needs Docker); write `name:tag@sha256:…`
    python deploy/image_pins.py --check   name the images that have none yet

A tag can be moved to other contents, a digest cannot. It is that of the list of all platforms.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("docker-compose.yml", "Dockerfile")
# An `image:` of Compose or a FROM of the Dockerfile, by a tag; our own image is built, not fetched.
IMAGE = re.compile(
    r"^(?P<before>\s+image: |FROM )(?P<name>[\w./-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?(?P<after>.*)$",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NoDigestError(Exception):
    """The registry did not say what an image is; the message says why."""


def unpinned() -> list[str]:
    """The images that are fetched by a tag alone."""
    texts = [(ROOT / file).read_text() for file in FILES]
    return sorted({found["name"] for text in texts for found in IMAGE.finditer(text) if not found["digest"]})


def digest_of(image: str) -> str:
    """The digest of a tag, as the registry gives it to Docker.

    Raises:
        NoDigestError: there is no Docker, no way to the registry, or no such image.
    """
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # nosec B603 # an image's name of our files, no shell
    except FileNotFoundError:
        raise NoDigestError("there is no `docker` on this machine") from None
    except subprocess.TimeoutExpired:
        raise NoDigestError(f"the registry did not answer for {image} within 60 s") from None
    except subprocess.CalledProcessError as error:
        raise NoDigestError(f"{image}: {str(error.stderr).strip()}") from None
    if not DIGEST.fullmatch(done.stdout.strip()):
        raise NoDigestError(f"{image}: {done.stdout.strip()!r} is no digest")
    return done.stdout.strip()


def pin() -> list[str]:
    """Write the digest of every image; returns `name:tag@digest` of each. All or none are written.

    Raises:
        NoDigestError: of one of them there is none.
    """
    texts = {ROOT / file: (ROOT / file).read_text() for file in FILES}
    names = sorted({found["name"] for text in texts.values() for found in IMAGE.finditer(text)})
    digests = {name: digest_of(name) for name in names}
    for path, text in texts.items():
        path.write_text(IMAGE.sub(lambda found: _pinned(found, digests), text))
    return [f"{name}@{digest}" for name, digest in digests.items()]


def _pinned(found: re.Match[str], digests: dict[str, str]) -> str:
    return f"{found['before']}{found['name']}@{digests[found['name']]}{found['after']}"


def main() -> None:
    """Pin, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="name images without a digest; change nothing")
    if parser.parse_args().check:
        if missing := unpinned():
            sys.exit(
                f"Fetched by tag, not by digest: {', '.join(missing)}.\n"
                "`make image-pins` pins them, on a machine with Docker and a way to the registry."
            )
        return
    try:
        print("\n".join(pin()))
    except NoDigestError as error:
        sys.exit(f"No image was pinned: {error}.")


if __name__ == "__main__":
    main()
