"""`make sbom`: writes the bill of materials and the page of licences.

It runs in an environment of its own, see `requirements-audit.txt`.
"""

import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

import synchist
from tests.supply import LICENCES, RUN, SBOM, Pin, licence, page, pins


def bill(locked: Sequence[Pin], licences: Mapping[str, str]) -> str:
    """What the product carries, as CycloneDX JSON: the same bytes for the same lock.

    Raises ValueError where the result isn't what CycloneDX asks for.
    """
    parts = {
        pin.name: Component(
            name=pin.name,
            version=pin.version,
            bom_ref=f"{pin.name}=={pin.version}",
            purl=PackageURL("pypi", name=pin.name, version=pin.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in pin.hashes],
            licenses=[LicenseFactory().make_from_string(licences[pin.name])],
        )
        for pin in locked
    }
    product = Component(name="synchist", bom_ref="synchist", version=synchist.__version__)
    product.type = ComponentType.APPLICATION
    # Two bills of the same parts are the same bill: no random number, no time of writing.
    contents = repr((synchist.__version__, locked, sorted(licences.items())))
    bom = Bom(components=parts.values(), serial_number=uuid.uuid5(uuid.NAMESPACE_OID, contents))
    bom.metadata.component = product
    bom.register_dependency(product, [parts[pin.name] for pin in locked if pin.direct])
    for pin in locked:
        for user in parts.keys() & pin.via:
            bom.register_dependency(parts[user], [parts[pin.name]])
    values = json.loads(JsonV1Dot6(bom).output_as_string())
    del values["metadata"]["timestamp"]
    written = json.dumps(values, indent=1, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(written):
        raise ValueError(error)
    return written


def write(installed: str) -> None:
    """Write the bill of materials and the page of licences of what is locked and installed."""
    locked = pins(RUN.read_text())
    metadata = {
        canonicalize_name(one.name): one.metadata for one in distributions(path=[installed])
    }
    for pin in locked:
        if pin.name not in metadata or metadata[pin.name]["Version"] != pin.version:
            sys.exit(f"{pin.name} {pin.version} isn't installed: run make sbom on Linux x86_64.")
    written = bill(locked, {pin.name: licence(pin.name, metadata[pin.name]) for pin in locked})
    SBOM.write_text(written)
    LICENCES.write_text(page(json.loads(written)))


if __name__ == "__main__":
    write(sys.argv[1])
