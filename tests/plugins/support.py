"""Where the examples are, and what the shop's second flow asks the environment for."""

from pathlib import Path

from walker_dest_customerio.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def warehouse_environment(sandbox: Sandbox, postgres_url: str, output: Path) -> dict[str, str]:
    """Return the variables of `examples/shop/warehouse.json`."""
    return {
        "CIO_SITE_ID": sandbox.site_id,
        "CIO_API_KEY": sandbox.api_key,
        "CIO_TRACK_URL": sandbox.track_url,
        "CIO_CA_FILE": sandbox.ca_file,
        "SHOP_POSTGRES_URL": postgres_url,
        "SHOP_OUTPUT": str(output),
    }
