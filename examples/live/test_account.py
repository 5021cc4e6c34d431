"""A test suite of the usual kind (`python3 -m unittest`, or pytest) whose client runs in vm-a."""

import os
import subprocess
import time
import unittest

from cloud import Cloud, unavailable

HERE = os.path.dirname(os.path.abspath(__file__))
WHY = unavailable()
ENABLE = "enable Microsoft.Storage on net-a/app"

# The program under test: fetches a blob, again if the connection is reset, and says how often.
CLIENT = """
import sys, urllib.request
for attempt in range(1, 5):
    try:
        with urllib.request.urlopen("http://stdata.blob.core.windows.net" + sys.argv[1]) as answer:
            body = answer.read()
            print(attempt, len(body), answer.headers["x-seen-as"])
        break
    except (ConnectionResetError, OSError) as error:
        print("failed:", error, file=sys.stderr)
"""


@unittest.skipIf(WHY, WHY)
class AccountTest(unittest.TestCase):
    def setUp(self):
        self.cloud = Cloud(os.path.join(HERE, "net.scn"))
        self.addCleanup(self.cloud.down)
        put = ["import urllib.request as u; u.urlopen(u.Request('http://stdata/a', b'x' * 300000, "
               "method='PUT'))"]
        deadline = time.time() + 10
        while self.cloud.run("vm-a", "python3", "-c", *put).returncode != 0:
            self.assertLess(time.time(), deadline, "the account does not answer")

    def fetch(self, host, path):
        fetched = self.cloud.run(host, "python3", "-c", CLIENT, path)
        return fetched.stdout.split()

    def test_account_sees_the_private_source(self):
        self.assertEqual(self.fetch("vm-a", "/a"), ["1", "300000", "20.31.0.10"])
        change = self.cloud.ctl(ENABLE)
        self.assertEqual(change["generation"], 2)
        self.assertEqual(self.fetch("vm-a", "/a"), ["1", "300000", "10.0.0.4"])
        self.assertEqual(self.fetch("vm-b", "/a"), ["1", "300000", "20.31.0.20"])
        last = self.cloud.ctl("seen stdata")[-2]
        self.assertEqual((last["from"], last["subnet"]), ("vm-a", "net-a/app"))

    def test_client_survives_the_toggle(self):
        words = self.cloud.command("vm-a", "python3", "-c", CLIENT, "/slow")
        client = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        self.assertEqual(self.cloud.ctl(ENABLE)["resets"], 2)
        out, errors = client.communicate(timeout=30)
        self.assertIn("Connection reset by peer", errors)
        self.assertEqual(out.split()[:2], ["2", "300000"])


if __name__ == "__main__":
    unittest.main()
