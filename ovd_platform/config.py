"""One typed model of `ovd.yaml`. Read at the edge (CLI, Dagster resource) and passed down as plain values.

Belongs here: every setting with its default, unit and meaning. Does not belong here: anything that computes.
"""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ovd_platform.errors import InputError

CONFIG_NAME = "ovd.yaml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TilesConfig(_Section):
    """The grid of a scene and its screening."""

    core_px: int = Field(512, ge=64, description="Side of a tile's core.")
    halo_px: int = Field(64, ge=0, description="Margin a tile looks at; at least half the largest object.")
    halo_m: float | None = Field(None, ge=0, description="The same in metres, for scenes whose pixel size is known.")
    largest_object_m: float | None = Field(None, gt=0, description="Longest object; the halo is at least half of it.")
    min_valid_fraction: float = Field(0.02, ge=0, le=1, description="Tiles with less valid area are skipped.")
    min_edge_density: float = Field(0.0005, ge=0, le=1, description="Tiles with fewer edges are skipped as blank.")
    cloud_brightness: float = Field(0.9, gt=0, description="Soft tiles brighter in every band are skipped as cloud; 2: none.")


class GuardConfig(_Section):
    """Limits of the process that reads files nobody has read before."""

    memory_mb: int = Field(4096, ge=1024, description="Address space; a file that wants more is refused.")
    stall_s: float = Field(120.0, gt=0, description="Seconds without progress after which reading a file is given up.")
    largest_mpx: float = Field(100_000.0, gt=0, description="Largest scene in 10^6 px; a header that claims more is refused.")
    tiled_copies: bool = Field(False, description="Rewrite striped and single-block files once as tiled COG (needs disk).")


class RadiometryConfig(_Section):
    """How the values of an instrument become model input; changing it makes tiles, vectors and trained models stale."""

    curve: Literal["linear", "log1p", "gamma"] = Field("linear", description="What follows the linear map of P1..P99 to 0..1.")
    gamma: float = Field(0.5, gt=0, description="The power, for curve gamma.")
    tile_clip: float = Field(0.0, ge=0, lt=0.5, description="Share of a chip's values cut off at either end; 0 cuts nothing.")
    slc: Literal["magnitude", "re_im", "log_polar"] = Field(
        "magnitude",
        description="Complex values as dB, as [Re, Im], or as [log|S|, cos, sin]; for the latter two set learn.bands.",
    )
    sigma0: bool = Field(False, description="Calibrate SAR amplitudes where the product states how (Sentinel-1 SAFE).")


class CaptionerConfig(_Section):
    """A local vision-language model that describes figures; off while neither endpoint nor command is given."""

    endpoint: str = Field("", description="Base of an OpenAI-compatible server, up to and with /v1.")
    command: tuple[str, ...] = Field((), description="Or a program that reads a PNG from standard input and writes words.")
    model: str = Field("default", description="Name of the model; kept beside its words.")
    prompt: str = Field("", description="What to ask; the built-in question when empty.")
    timeout_s: float = Field(60.0, gt=0, description="Wall time for one figure.")
    key_variable: str = Field("", description="Environment variable with the server's key; none when empty.")


class LearnConfig(_Section):
    """Training on this workspace's own data; minutes are wall clock on the machine that trains."""

    init: Literal["starter", "scratch"] = Field("starter", description="Starting weights of backbone and proposer.")
    chips_per_scene: int = Field(96, ge=1, description="Self-supervision chips sampled per scene.")
    chip_px: int = Field(64, ge=32)
    backbone_minutes: float = Field(2.0, ge=0, description="MAE pretraining (He et al. 2022).")
    bands: Literal["native", "average", "first3", "pca"] = Field(
        "native",
        description="How the backbone (and the encoder on it) takes bands: natively by wavelength, or by a SensorAdapter a band "
        "count that makes three planes and starts so.",
    )
    metadata: bool = Field(
        False, description="Condition the backbone on GSD, sun, view and season (FiLM); unknown stays unknown."
    )
    regions_minutes: float = Field(2.0, ge=0, description="Metric head of the visual embedding.")
    clip_minutes: float = Field(3.0, ge=0, description="Domain CLIP on document pairs.")
    proposer_minutes: float = Field(12.0, ge=0, description="Class-agnostic proposer on labels.")
    proposer_size: Literal["light", "lean"] = Field(
        "light", description="Network of the proposer; lean is three times as fast and starts without shipped weights."
    )
    proposer_learning_rate: float = Field(
        2e-3, gt=0, description="Peak rate; lower for a few minutes from the starter weights."
    )
    proposer_bands: Literal["native", "average", "first3", "pca"] = Field(
        "average",
        description="How the proposer takes other than three bands: a first convolution of their own (inflated weights), or a "
        "SensorAdapter that starts so.",
    )
    proposer_scale: float | None = Field(None, gt=0, description="Working scale of the proposer; None chooses by the labels.")
    proposer_look_scales: tuple[float, ...] = Field(
        (), description="Scales the proposer looks at; empty: the working scale. Small objects need 2, large ones 0.5."
    )
    proposer_smallest_px: float = Field(
        0.0,
        ge=0,
        description="Labels with a smaller side (root of the area) are neither object nor background to the proposer.",
    )
    proposer_unlabelled: Literal["background", "ignore", "object"] = Field(
        "background",
        description="What the starter proposer is sure of and no label names: background (labels are complete), ignored, or an object.",
    )


class ProposerConfig(_Section):
    """One proposer beside, or instead of, the release's own."""

    kind: Literal["release", "cfar", "torchvision", "transformers", "sam", "detectron2"]
    modality: Literal["optical", "sar"] | None = Field(None, description="Scenes it looks at; None: all (CFAR: SAR alone).")
    model: str | None = Field(None, description="torchvision: name of the detector; sam: vit_b, vit_l or vit_h.")
    checkpoint: str | None = Field(None, description="File of weights; transformers: folder of a checkpoint.")
    config: str | None = Field(None, description="detectron2: its YAML file.")
    settings: dict[str, Any] = Field(default_factory=dict, description="More settings of the kind; see docs/configuration.md.")
    stem: Literal["average", "first3", "pca"] = Field("average", description="How other than three bands become three planes.")
    scale: float = Field(1.0, gt=0, description="Working-scale pixels per scene pixel; small objects want 2 or more.")
    batch: int = Field(4, ge=1, description="Tiles a forward pass.")
    min_objectness: float = Field(0.02, ge=0, lt=1, description="Weaker answers are dropped.")
    weight: float = Field(1.0, gt=0, le=1, description="Factor on its objectness when fused with others.")


class ProposeConfig(_Section):
    """Where any object might be."""

    proposers: tuple[ProposerConfig, ...] = Field((), description="Proposers to fuse; empty: the release's own alone.")

    max_per_mpx: float = Field(100.0, gt=0, description="Proposals kept per 10^6 px, best objectness first.")
    min_per_scene: int = Field(300, ge=1, description="A small scene keeps at least this many.")
    cfar_false_alarm_rate: float = Field(1e-5, gt=0, lt=1, description="SAR: stated false-alarm rate per pixel.")


class DetectConfig(_Section):
    """Named objects and what is written of them."""

    mask_model: Literal["vit_b", "vit_l", "vit_h"] = Field("vit_b", description="Size of the SAM checkpoint.")
    mask_checkpoint: str | None = Field(
        None, description="SAM checkpoint: accepted detections get masks. None: proposers' masks alone."
    )


class EmbedConfig(_Section):
    """What is stored of a scene for search."""

    regions: Literal["crop", "roi"] = Field(
        "crop", description="One forward a proposal (crop), or one dense pass whose tokens are pooled (roi)."
    )
    roi_scale: float = Field(0.5, gt=0, le=1, description="Scale of the dense pass; smaller is faster and coarser.")
    open_clip: str | None = Field(None, description="open_clip architecture to use as encoder instead of the own backbone.")
    open_clip_weights: str | None = Field(None, description="Its checkpoint, a local file; needed with open_clip.")
    open_clip_bands: Literal["native", "average", "first3"] = Field(
        "first3", description="How it takes other than three bands: inflated first convolution, or an adapter that is so."
    )
    grid_px: int = Field(
        0, ge=0, description="Side of grid cells that get vectors of their own, wherever no proposal is; 0 stores none."
    )


class SplitConfig(_Section):
    """Which scenes are kept away from training; whole geographic blocks, never tiles."""

    holdout_fraction: float = Field(0.2, ge=0, lt=1, description="Scenes nobody trains or calibrates on.")
    calibration_fraction: float = Field(0.15, ge=0, lt=1, description="Scenes that set thresholds.")
    block_km: float = Field(5.0, gt=0)


class SynthesisConfig(_Section):
    """Copy-paste composites for the merged dataset."""

    fraction: float = Field(0.30, ge=0, le=0.5, description="Share of synthetic tiles in the merged dataset.")
    max_tiles: int = Field(60, ge=0)


class ArchiveConfig(_Section):
    """JPEG XL archive; SAR SLC is always lossless."""

    enabled: bool = True
    distance: float = Field(1.0, gt=0, description="Butteraugli distance of background tiles.")
    retention_days: float | None = Field(None, ge=0, description="Age at which the retention sensor names a scene.")
    lossless_edge_density: float = Field(0.05, ge=0, le=1, description="Tiles with more edges stay lossless.")


class GateRuleConfig(_Section):
    """One condition a candidate must meet before it is promoted."""

    metric: str = Field(description="Dotted path in stats.json, for example `proposals.recall.all.at_100`.")
    min: float | None = Field(None, description="Least value (the most, for errors).")
    max_loss: float | None = Field(None, description="Allowed loss against the current release.")
    slice: str = Field("", description="Part of the test, `dimension:value`, for example `class:ship` or `size_px:8-16`.")
    confidence: float = Field(0.0, ge=0, lt=1, description="Share of bootstrap draws in which the rule has to hold.")


class GateConfig(_Section):
    """What `release` checks."""

    rules: tuple[GateRuleConfig, ...] = (GateRuleConfig(metric="proposals.recall.all.at_100", max_loss=0.03),)


class EvaluationConfig(_Section):
    """How a release is evaluated and reported."""

    ignore_classes: tuple[str, ...] = Field(("ignore",), description="Labels of these classes are regions nobody judges.")
    negative_scenes: tuple[str, ...] = Field(
        (), description="Scene ids (or patterns such as `sea_*`) looked through by people and without any object."
    )
    masks: str | None = Field(
        None, description="Folder of masks nobody judges (cloud): `<scene id>.geojson`, or rasters other than zero there."
    )
    replicates: int = Field(300, ge=20, description="Bootstrap draws over scenes.")
    few_shot_draws: int = Field(30, ge=2, description="Draws of examples a class.")
    shifted_scenes: int = Field(2, ge=0, description="Held-out scenes proposed again with the grid moved by half a tile.")
    archived_scenes: int = Field(1, ge=0, description="Held-out scenes answered once more from their archive.")
    eur_per_hour: float = Field(0.10, ge=0, description="Price of the machine, for the cost of 1,000 km2.")


class OvdConfig(_Section):
    """The whole of `ovd.yaml`.

    Attributes:
        imagery: Files, folders or globs of scenes; relative paths start at the folder of `ovd.yaml`.
        documents: Files, folders or globs of PDFs.
        document_passwords: Tried in order on encrypted documents.
        document_words: Where words are read from pixels: nowhere, on pages without text, or inside the figures too (a second an image).
        document_seconds: Wall time for one document; what was read until then is kept.
        labels: Label files or folders.
        vocabulary: Vocabulary file; made from the labels' class names when None.
        truth: Folder with the exact truth of the rendered world; evaluation only.
        rendered: True for the rendered world: every output says so.
        seed: Seed of every random choice.
        radiometry: Settings by instrument id, or by modality for all other instruments.
        version_mode: How scene versions are made: whole bytes, or size + mtime + sampled blocks for huge files.
    """

    imagery: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    document_passwords: tuple[str, ...] = ()
    document_words: Literal["off", "pages", "figures"] = "pages"
    document_seconds: float = Field(300.0, gt=0)
    labels: tuple[str, ...] = ()
    vocabulary: str | None = None
    truth: str | None = None
    rendered: bool = False
    seed: int = 0
    version_mode: Literal["sha256", "sampled"] = "sha256"
    guard: GuardConfig = Field(default_factory=GuardConfig)
    captioner: CaptionerConfig = Field(default_factory=CaptionerConfig)
    tiles: TilesConfig = Field(default_factory=TilesConfig)
    radiometry: dict[str, RadiometryConfig] = Field(default_factory=dict)
    learn: LearnConfig = Field(default_factory=LearnConfig)
    propose: ProposeConfig = Field(default_factory=ProposeConfig)
    detect: DetectConfig = Field(default_factory=DetectConfig)
    embed: EmbedConfig = Field(default_factory=EmbedConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    synthesis: SynthesisConfig = Field(default_factory=SynthesisConfig)
    archive: ArchiveConfig = Field(default_factory=ArchiveConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `ovd.yaml` of a workspace.

        Raises:
            InputError: If there is none, or a setting is unknown or out of range; the message names it.
        """
        path = home / CONFIG_NAME
        if not path.is_file():
            raise InputError(
                f"Cannot open workspace {home}: expected {CONFIG_NAME} in it. Make one with `ovd init {home} --imagery PATH`."
            )
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {})
        except (ValidationError, yaml.YAMLError) as error:
            raise InputError(f"Cannot read {path}: {error}. Correct the setting.") from error

    def save(self, home: Path) -> Path:
        """Write `ovd.yaml`, only what differs from the defaults plus the inputs."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        path = home / CONFIG_NAME
        path.write_text(
            "# Workspace of ovd_platform. All settings: docs/configuration.md\n" + yaml.safe_dump(values, sort_keys=False)
        )
        return path
