"""The Ray session that fleets and backfills run on."""
