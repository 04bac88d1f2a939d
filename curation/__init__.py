"""Crawl to shards: plan, read, extract, judge, deduplicate, publish, report."""
