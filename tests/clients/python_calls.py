"""Make calls with an SDK for Python: `python python_calls.py MODULE HOST KEY < CALLS`.

CALLS is a list of [method, arguments]. Print a line for each error that the SDK reports.
"""

import importlib
import json
import re
import sys
from datetime import datetime

module, host, key = sys.argv[1:]
sdk = importlib.import_module(module)
sdk.write_key, sdk.host, sdk.gzip = key, host, True
sdk.on_error = lambda error, batch: print(error.status, error.code, error.message, len(batch))
for method, arguments in json.load(sys.stdin):
    named = {re.sub("[A-Z]", lambda at: f"_{at[0].lower()}", k): v for k, v in arguments.items()}
    named["timestamp"] = datetime.fromisoformat(named["timestamp"])
    getattr(sdk, method)(**named)
sdk.shutdown()
