"""The embedded sample: a small crawl in Common Crawl's shape, made on the spot, whose every page is known."""

from service.sample.crawl import write_sample
from service.sample.quality import write_quality_sets
from service.sample.truth import KINDS, PlantedPage, Truth, read_truth

__all__ = ["KINDS", "PlantedPage", "Truth", "read_truth", "write_quality_sets", "write_sample"]
