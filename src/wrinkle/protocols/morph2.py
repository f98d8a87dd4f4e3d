"""The published splits of MORPH II: morph2-random, -partial, -s1-s2-s3 and -coral.

55,134 photographs of 13,617 people; a name such as 320711_00M34.JPG gives person, number, gender
and age. In every published list some people both train and test, because all were drawn by
photograph:

    split             train    valid.  test     people who train and test, share of the test set
    morph2-random     44,106   -       11,028   7,152 people, 96 % of the tested photographs
    morph2-partial    4,381    -       1,094    745, 76 %
    morph2-s1-s2-s3   10,588   -       44,452   5,909, 44 %   (S1 trains, S2 and S3 test)
                      10,590   -       44,450   5,974, 45 %   (S2 trains, S1 and S3 test)
    morph2-coral      39,764   4,416   11,044   6,974, 94 %

morph2_draws.py has splits that keep people apart. Only CORAL's list has a validation part; it also
names 211 photographs that are not among the 55,134.

- random: 80/20, the list of FP-Age (Lin et al., IEEE TIP 2022).
- partial: the partial 80-20 protocol, on photographs of White people, after DEX (Rothe et al., IJCV
  2018). DHAA counts 5,493 of them, ADPF 5,492, the list 5,475.
- s1-s2-s3: after Guo and Mu, CVPR 2011, as in Tan et al., IEEE TPAMI 2018: S1 and S2 have about as
  many photographs of Black as of White people, and of men about three times as many as of women.
  The published list of S2 shares 5,310 of its 10,590 photographs with S1, and so with its own test
  part. Here S2 is the published S2+S3 without S3: as many photographs in the same ratios, none of
  them in S1. 94 of the 55,134 are in no part.
- coral: Cao, Mirjalili, Raschka, Pattern Recognition Letters 2020.
"""

from collections.abc import Iterator
from functools import cache

from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol, Sizes
from wrinkle.protocols.split_lists import read_columns

LIST = "morph2.txt.gz"
CHECKSUM = "75bddd8d8a9dff7d85893f2a0523566ca369d441929044e048ec1fc08b24208e"
_LISTS = "list: github.com/yiminglin-ai/morph2-protocols"


@cache
def photos() -> tuple[list[str], dict[str, str]]:
    """The names of all photographs, without .JPG, and column → its letters in the same order.

    group: W White, B Black, "-" others, "." not among the 55,134 (CORAL's 211). random, partial,
    coral: t trains, v validates, e tests, "-" is in no part. s1-s2-s3: 1, 2, 3, "-".
    """
    return read_columns(LIST, CHECKSUM, "_")


@cache
def column(heading: str) -> dict[str, str]:
    """Name of a photograph, without .JPG → its letter in a column."""
    names, columns = photos()
    return dict(zip(names, columns[heading], strict=True))


def stem(name: str) -> str:
    """A photograph's name without .JPG, also where it is in lower case; "" if it has none."""
    bare, _, kind = name.rpartition(".")
    return bare if kind.lower() == "jpg" else ""


@PROTOCOLS.named("morph2-random")
def morph2_random() -> Protocol:
    """The list of FP-Age."""
    return _published(
        "random",
        "MORPH II, random 80/20 as listed",
        f"Lin et al., FP-Age, IEEE TIP 2022 ({_LISTS})",
        {"random": (44_106, 0, 11_028)},
    )


@PROTOCOLS.named("morph2-partial")
def morph2_partial() -> Protocol:
    """The list after DEX."""
    return _published(
        "partial",
        "MORPH II, partial 80-20 as listed: photographs of White people",
        f"Rothe, Timofte, Van Gool, IJCV 2018 ({_LISTS})",
        {"partial": (4_381, 0, 1_094)},
    )


@PROTOCOLS.named("morph2-s1-s2-s3")
def morph2_s1_s2_s3() -> Protocol:
    """Train on S1 and test on S2 and S3, then train on S2 and test on S1 and S3."""
    return _published(
        "s1-s2-s3",
        "MORPH II, S1-S2-S3 as listed: train S1, test S2+S3; train S2, test S1+S3",
        f"Guo, Mu, CVPR 2011; Tan et al., IEEE TPAMI 2018 ({_LISTS}, its S2 corrected)",
        {"S1": (10_588, 0, 44_452), "S2": (10_590, 0, 44_450)},
        {"1": "te", "2": "et", "3": "ee", "-": "--"},
    )


@PROTOCOLS.named("morph2-coral")
def morph2_coral() -> Protocol:
    """The lists of CORAL."""
    return _published(
        "coral",
        "MORPH II, CORAL's random 72/8/20",
        "Cao, Mirjalili, Raschka, Pattern Recognition Letters 2020"
        " (list: github.com/Raschka-research-group/coral-cnn)",
        {"coral": (39_764, 4_416, 11_044)},
    )


def _published(
    heading: str,
    description: str,
    source: str,
    sizes: dict[str, Sizes],
    letters: dict[str, str] | None = None,
) -> Protocol:
    """The split in a column of the list.

    Args:
        letters: the column's letter → a letter for each fold; None: the same letter.
    """

    def letters_of(name: str) -> str | None:
        letter = column(heading).get(stem(name))
        return letters[letter] if letters and letter else letter

    def names() -> Iterator[str]:
        return (f"{name}.JPG" for name, letter in column(heading).items() if letter != "-")

    return listed(
        name=f"morph2-{heading}",
        description=description,
        source=source,
        checksum=CHECKSUM,
        dataset="morph2",
        shares_people=True,
        sizes=sizes,
        letters=letters_of,
        names=names,
    )
