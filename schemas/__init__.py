"""The contracts: records, Arrow schemas, manifest, pipelines.yaml models. No logic."""
