"""What a user may set: every key with its default, type, range and a line of help, and how a configuration is made.

``load`` merges defaults, a YAML file and the command line. One module has one section, as a frozen dataclass;
``schema`` puts them together.
"""

from mindleak.settings.merge import load, option_keys
from mindleak.settings.views import for_subject, for_variant, identity, named_parts, to_plain

__all__ = ["for_subject", "for_variant", "identity", "load", "named_parts", "option_keys", "to_plain"]
