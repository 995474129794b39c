"""Made from hft/chain/geyser.proto; do not edit."""
