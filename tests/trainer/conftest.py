"""torch's lazily imported halves, whole before any test runs.

They register operators when they are imported, once. Left to the first test that needs them, an import that a warning
(an error here) breaks off in the middle leaves the process without those operators for all tests behind it.
"""

import torch._dynamo
import torch._inductor
import torch._meta_registrations  # noqa: F401
