"""A flow that is being loaded: the part that its entries share."""

from attrs import frozen

from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.references import ReferenceContext
from walker_collector.flow.transformers import Transformers
from walker_collector.plugins import Registry


@frozen
class Loading:
    """Shared by the entries of a flow while they are read.

    context: the variables and the environment that its references mean. registry: the plugins that
    it can name. transformers: those of the flow. diagnostics: gets its problems and warnings.
    """

    context: ReferenceContext
    registry: Registry
    transformers: Transformers
    diagnostics: Diagnostics
