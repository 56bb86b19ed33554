"""Files: models, states and run directories on disk, whole or not at all, and never with code inside."""

from niwaki.atomic import write_atomically
from niwaki.files.manifest import Manifest
from niwaki.files.model import load, read_manifest, save
from niwaki.files.run_directory import RUN_FILES, RunDirectory
from niwaki.files.state import load_state, save_state

__all__ = [
    "RUN_FILES",
    "Manifest",
    "RunDirectory",
    "load",
    "load_state",
    "read_manifest",
    "save",
    "save_state",
    "write_atomically",
]
