"""The Ray that fleets and backfills run on."""
