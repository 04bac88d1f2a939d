"""Commands that need an extra: told in words where it is not installed."""

from importlib.util import find_spec

from storage.errors import RegistryError


def needs_torch() -> None:
    """Called before a command imports what needs torch.

    Raises:
      RegistryError: it is not installed.
    """
    if find_spec("torch") is None:
        raise RegistryError("training needs torch, which is not installed; pip install 'gristmill[trainer]'")
