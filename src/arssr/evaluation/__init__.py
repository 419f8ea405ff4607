"""Evaluation: metrics, baselines, protocols, tables, figures and reports."""
