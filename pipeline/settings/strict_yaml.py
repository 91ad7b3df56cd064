"""YAML as it is read here: plain values alone, and no key twice."""

from typing import Any, Final

import yaml

TWICE: Final = "a key is there twice"


class StrictLoader(yaml.SafeLoader):
    """YAML without the rule that the last of two equal keys wins silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; errors as of any loader, and `TWICE` for a key that is there before."""
        keys: list[Any] = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, TWICE, node.start_mark)
        return super().construct_mapping(node, deep)
