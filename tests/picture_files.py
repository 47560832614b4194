"""Pictures with known pixels, written by the tests in every format that is read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ki67.types import ByteArray

WHOLE_SLIDE_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
PATIENT = "Mustermann^Erika"


def colors(width: int, height: int, *, seed: int = 0) -> ByteArray:
    """Noise in color: every pixel differs from its neighbours, so that a shift by one is seen."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(width: int, height: int) -> ByteArray:
    """A gentle gradient in color, which JPEG keeps within a few gray values."""
    x = np.linspace(40, 220, width)[None, :, None]
    y = np.linspace(0, 30, height)[:, None, None]
    return np.asarray(x + y * np.array([1.0, 0.5, -1.0]), np.uint8)


def write_image(path: Path, pixels: ByteArray, **options: object) -> Path:
    """Writes PNG or JPEG by Pillow."""
    Image.fromarray(pixels).save(path, **options)
    return path


def write_tiff(path: Path, pixels: ByteArray, **options: object) -> Path:
    """Writes a TIFF by tifffile, RGB unless told otherwise."""
    tifffile.imwrite(path, pixels, **{"photometric": "rgb", **options})
    return path


def write_svs(
    path: Path, pixels: ByteArray, *, mpp: float | None = 0.25, levels: int = 1, label: bool = False
) -> Path:
    """An Aperio-like slide: JPEG tiles, a description that OpenSlide knows, optionally levels and a label."""
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    scale = "" if mpp is None else f"|MPP = {mpp}"
    description = f"Aperio Image Library v11\r\n{size} (256x256) JPEG/RGB Q=90{scale}|Patient = {PATIENT}"
    options = {"compression": "jpeg", "photometric": "rgb", "metadata": None, "software": False}
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 4, 16)[:levels]:
            height, width = pixels.shape[0] // step * step, pixels.shape[1] // step * step
            reduced = pixels[:height:step, :width:step].copy()
            writer.write(reduced, tile=(256, 256), description=description, **options)
        if label:
            writer.write(
                smooth(96, 96),
                description="Aperio Image Library v11\r\nlabel 96x96",
                subfiletype=1,
                **options,
            )
    return path


def write_dicom(
    path: Path, pixels: ByteArray, *, series: str | None = None, kind: str = "NONE", mpp: float = 0.25
) -> Path:
    """A whole-slide DICOM file with uncompressed 64-px tiles and a patient's name in it."""
    tile = 64
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.full((rows * tile, columns * tile, 3), 255, np.uint8)
    padded[:height, :width] = pixels
    frames = padded.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = WHOLE_SLIDE_STORAGE
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.PatientName, data.PatientID, data.AccessionNumber = PATIENT, "4711", "A-4711"
    data.SOPClassUID = WHOLE_SLIDE_STORAGE
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = series or generate_uid(), generate_uid()
    data.Modality, data.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", kind]
    data.Rows = data.Columns = tile
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.NumberOfFrames, data.SamplesPerPixel = rows * columns, 3
    data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.DimensionOrganizationType = "TILED_FULL"
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    groups.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [groups]
    data.PixelData = frames.tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def write_png_header(path: Path, width: int, height: int, *, bits: int = 8, color: int = 2) -> Path:
    """A PNG that announces a size and holds next to no data: a decompression bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path
