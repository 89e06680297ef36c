"""Where the public data sets come from: files, sizes, checksums, addresses.

Whatever is fetched is checked by SHA-256. ``sha256`` is that of the file as its publishers serve it,
``content_sha256`` that of the unpacked IDX bytes, which also vouches for a file that someone compressed again.
``md5`` stands only where no source states more, for files out of an archive that has a SHA-256 itself.

Where the values come from:

- MNIST, Fashion-MNIST, KMNIST: torchvision and TensorFlow Datasets check them.
- CIFAR-10: that of the archive whose MD5 its author publishes (c32a1d4ab5d03f1284b67883e8d87530).
- SVHN: sizes and SHA-256 from TensorFlow Datasets (``url_checksums/svhn_cropped.txt``) and, the same, from
  torchvision's prototype data sets; torchvision's MD5 of these files are e26dedcc434d2e4c54c9b2d4a06d8373
  (training) and eb5a983be6a315427106f1b164d9cef3 (test).
- STL-10: size and SHA-256 of the archive from TensorFlow Datasets (``url_checksums/stl10.txt``), the MD5 of its
  files from torchvision, whose MD5 of the archive is 91f7769df0f17e558f3565bffb0c7dfb. Sizes of the files follow
  from the format and the published counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindleak.data import cifar, stl10


@dataclass(frozen=True)
class PublishedFile:
    """One file of a data set; sizes in bytes. A checksum is None where no source states it; one of two is there."""

    name: str
    size: int
    sha256: str | None
    content_sha256: str | None = None
    md5: str | None = None

    @property
    def checksum(self) -> tuple[str, str]:
        """Return (algorithm, hexadecimal digest) of the file as published, the stronger one where both are known.

        Raises:
            ValueError: neither is known, which is a fault of the catalogue.
        """
        if self.sha256 is not None:
            return "sha256", self.sha256
        if self.md5 is None:
            raise ValueError(f"{self.name} has no checksum")
        return "md5", self.md5


@dataclass(frozen=True)
class Archive:
    """What is wanted of the tar archive that is the only file of a source.

    ``folder`` is the one folder in it; ``files`` lie in that folder and are needed, ``extras`` are small and are
    unpacked where they are there. Whatever else the archive holds stays in it.
    """

    folder: str
    files: tuple[PublishedFile, ...]
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What to fetch and where.

    ``addresses`` are folders on servers that all hold the same files, tried in order. ``archive`` describes the
    only entry of ``files`` where that is an archive to be unpacked.
    """

    files: tuple[PublishedFile, ...]
    addresses: tuple[str, ...]
    archive: Archive | None = None

    @property
    def installed(self) -> tuple[PublishedFile, ...]:
        """The files that lie in the data directory in the end."""
        return self.files if self.archive is None else self.archive.files


IDX_STEMS = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def _idx(*rows: tuple[int, str, str | None]) -> tuple[PublishedFile, ...]:
    return tuple(PublishedFile(f"{stem}.gz", *row) for stem, row in zip(IDX_STEMS, rows))


MNIST = Source(
    files=_idx(
        (
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    addresses=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = Source(
    files=_idx(
        (
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    addresses=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)

KMNIST = Source(
    files=_idx(
        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", None),
        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", None),
        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", None),
        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", None),
    ),
    addresses=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
)

CIFAR10 = Source(
    files=(
        PublishedFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    addresses=("https://www.cs.toronto.edu/~kriz/", "http://www.cs.toronto.edu/~kriz/"),
    archive=Archive(
        folder=cifar.FOLDER,
        files=tuple(
            PublishedFile(name, 30_730_000, sha256)
            for name, sha256 in (
                ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
                ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
                ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
                ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
                ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
                ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
            )
        ),
        extras=(cifar.NAMES_FILE,),
    ),
)

SVHN = Source(
    files=(
        PublishedFile(
            "train_32x32.mat",
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            md5="e26dedcc434d2e4c54c9b2d4a06d8373",
        ),
        PublishedFile(
            "test_32x32.mat",
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            md5="eb5a983be6a315427106f1b164d9cef3",
        ),
    ),
    addresses=("http://ufldl.stanford.edu/housenumbers/", "https://ufldl.stanford.edu/housenumbers/"),
)

STL10 = Source(
    files=(
        PublishedFile(
            "stl10_binary.tar.gz",
            2_640_397_119,
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            md5="91f7769df0f17e558f3565bffb0c7dfb",
        ),
    ),
    addresses=(
        "http://ai.stanford.edu/~acoates/stl10/",
        "https://cs.stanford.edu/~acoates/stl10/",
        "http://cs.stanford.edu/~acoates/stl10/",
    ),
    archive=Archive(
        folder=stl10.FOLDER,
        files=tuple(
            PublishedFile(name, size, None, md5=md5)
            for name, size, md5 in (
                ("train_X.bin", 5_000 * stl10.IMAGE_BYTES, "918c2871b30a85fa023e0c44e0bee87f"),
                ("train_y.bin", 5_000, "5a34089d4802c674881badbb80307741"),
                ("test_X.bin", 8_000 * stl10.IMAGE_BYTES, "7f263ba9f9e0b06b93213547f721ac82"),
                ("test_y.bin", 8_000, "36f9794fa4beb8a2c72628de14fa638e"),
            )
        ),
    ),
)
