"""Evaluation: metrics, baselines, protocols, tables and model cards."""
