"""`python -m local_models`: serve the three models until Ctrl-C."""

import argparse
import threading
from contextlib import suppress

from openai_wire import serve

from .model import NAMES, LocalModel
from .server import create_app


def main() -> None:
    """Load the models, print where they are served, and wait."""
    parser = argparse.ArgumentParser(prog="python -m local_models", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="there is no authentication: keep it")
    options = parser.parse_args()
    try:
        app = create_app({name: LocalModel.load(name) for name in NAMES})
        with suppress(KeyboardInterrupt), serve(app, host=options.host, port=options.port) as url:
            print(f"{', '.join(NAMES)} at {url}", flush=True)
            threading.Event().wait()
    except OSError as error:  # no weights, or no such port: both say so
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
