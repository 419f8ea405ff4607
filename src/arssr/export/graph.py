"""An ONNX graph, written down node by node in the order in which it is computed.

By hand: the networks are of few kinds of layers, sizes stay free, and torch's exporter, which wants
another package (onnxscript), is not needed.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

METADATA = "arssr"  # the entry of the metadata that holds all we say of a model, as JSON
# Old enough for every runtime of the last years; nothing here needs operators of later sets.
_OPSET, _IR_VERSION = 17, 8

Dims = Sequence[int | str]  # a name stands for a size that is free


class Graph:
    """Nodes and constants; each method gives the name of what it computes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dims: Dims) -> str:
        """A float32 tensor that is given."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        return name

    def constant(self, values: "ArrayLike | Tensor") -> str:
        """Whole numbers as int64, everything else as float32."""
        if isinstance(values, Tensor):
            values = values.detach().float().cpu().numpy()
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """What an operator of one output makes of its inputs."""
        [result] = self.several(1, operator, *inputs, **attributes)
        return result

    def several(self, count: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """The outputs of an operator that has several."""
        results = [f"{operator.lower()}_{len(self._nodes)}_{n}" for n in range(count)]
        self._nodes.append(helper.make_node(operator, list(inputs), results, **attributes))
        return results

    def linear(self, x: str, layer: nn.Linear) -> str:
        """A linear layer of x (…, in)."""
        product = self("MatMul", x, self.constant(layer.weight.T))
        return self("Add", product, self.constant(layer.bias))

    def model(
        self, result: str, name: str, dims: Dims, metadata: Mapping[str, Any]
    ) -> onnx.ModelProto:
        """The checked model whose only output is `result`, under this name."""
        self._nodes.append(helper.make_node("Identity", [result], [name]))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        graph = helper.make_graph(self._nodes, self._name, self._inputs, [output], self._constants)
        model = helper.make_model(
            graph,
            producer_name="arssr",
            producer_version=version("arssr"),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        helper.set_model_props(model, {METADATA: json.dumps(metadata)})
        onnx.checker.check_model(model, full_check=True)
        return model
