"""Run whole turns of all agent CLIs against the scripted model, those included that CI does not install.

python -P -m tests.agents [pytest arguments]        for example: -k qwen
"""

import os
import subprocess
import sys

from tests.integration.agents.others import ALL_AGENTS

if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", "tests/integration/agents", "-v", *sys.argv[1:]]
    sys.exit(subprocess.run(command, env={**os.environ, ALL_AGENTS: "1"}, check=False).returncode)
