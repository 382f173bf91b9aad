"""The workspace as a Dagster resource."""

import os
from pathlib import Path

from dagster import ConfigurableResource

from ovd_platform.errors import InputError
from ovd_platform.flow.workspace import Workspace

HOME_VARIABLE = "OVD_HOME"


class WorkspaceResource(ConfigurableResource):
    """Opens the workspace folder that runs work on.

    Attributes:
        home: Folder with `ovd.yaml`; empty takes the environment variable OVD_HOME when a run starts, not when code loads.
    """

    home: str = ""

    def open(self) -> Workspace:
        """The opened workspace.

        Raises:
            InputError: If no folder is named or it holds no valid `ovd.yaml`.
        """
        folder = self.home or os.environ.get(HOME_VARIABLE, "")
        if not folder:
            raise InputError(
                f"Cannot open a workspace: expected {HOME_VARIABLE} to name a folder with ovd.yaml. Start with `ovd up`."
            )
        return Workspace.open(Path(folder))
