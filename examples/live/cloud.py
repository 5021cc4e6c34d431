"""A live network for tests in Python: starts `vnetem live`, and ends it with the test."""

import json
import os
import subprocess
import uuid

VNETEM = os.environ.get("VNETEM", "vnetem")


def unavailable():
    """Why live networks are not possible here; None where they are."""
    check = subprocess.run([VNETEM, "live", "--check"], capture_output=True, text=True)
    return None if check.returncode == 0 else check.stderr.strip()


class Cloud:
    def __init__(self, scenario):
        self.name = f"test-{uuid.uuid4().hex}"
        # The network goes down when this process ends, in whatever way: its end of the pipe closes.
        self.router = subprocess.Popen(
            [VNETEM, "live", scenario, "--name", self.name, "--until-stdin-ends", "-o", "json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        if not self.router.stdout.readline():
            raise RuntimeError("the network did not come up")

    def command(self, host, *words):
        """The words of a command that runs in a host."""
        return [VNETEM, "exec", "--name", self.name, host, "--", *words]

    def run(self, host, *words):
        return subprocess.run(self.command(host, *words), capture_output=True, text=True, timeout=20)

    def ctl(self, words):
        """An edit as scenarios write it, or a question: `vnetem ctl help` lists them."""
        asked = subprocess.run([VNETEM, "ctl", "--name", self.name, "-o", "json", words],
                               capture_output=True, text=True, timeout=20)
        if asked.returncode != 0:
            raise RuntimeError(asked.stderr.strip())
        return json.loads(asked.stdout)["value"]

    def down(self):
        self.router.stdin.close()
        self.router.stdout.close()
        self.router.wait()
